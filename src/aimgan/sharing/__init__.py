"""What leaves this machine: the Hub, and exports to other formats."""

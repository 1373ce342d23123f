"""The algorithms, one file each. `OBJECTIVES` lists them all by name."""

from aimgan.objectives.aae import AAE
from aimgan.objectives.age import AGE
from aimgan.objectives.aim import AIM
from aimgan.objectives.aim_minus import AIMMinus
from aimgan.objectives.ali import ALI
from aimgan.objectives.alice import ALICE
from aimgan.objectives.avb import AVB
from aimgan.objectives.base import Batch, Objective, Prior, Update, Updates
from aimgan.objectives.bigan import BiGAN
from aimgan.objectives.cyclegan import CycleGAN
from aimgan.objectives.discogan import DiscoGAN
from aimgan.objectives.dualgan import DualGAN
from aimgan.objectives.gan import GAN
from aimgan.objectives.ian import IAN
from aimgan.objectives.infogan import InfoGAN
from aimgan.objectives.inversion import Inversion
from aimgan.objectives.mdgan import MDGAN
from aimgan.objectives.symmetric_vae import SymmetricVAE
from aimgan.objectives.unrolled_gan import UnrolledGAN
from aimgan.objectives.vae import VAE
from aimgan.objectives.vae_gan import VAEGAN
from aimgan.objectives.veegan import VEEGAN

OBJECTIVES: dict[str, type] = {
    "aim": AIM,
    "aim-minus": AIMMinus,
    "gan": GAN,
    "ali": ALI,
    "bigan": BiGAN,
    "alice": ALICE,
    "veegan": VEEGAN,
    "unrolled-gan": UnrolledGAN,
    "vae": VAE,
    "aae": AAE,
    "vae-gan": VAEGAN,
    "avb": AVB,
    "age": AGE,
    "infogan": InfoGAN,
    "mdgan": MDGAN,
    "symmetric-vae": SymmetricVAE,
    "inversion": Inversion,
    "ian": IAN,
    "cyclegan": CycleGAN,
    "discogan": DiscoGAN,
    "dualgan": DualGAN,
}

__all__ = ["OBJECTIVES", "Batch", "Objective", "Prior", "Update", "Updates"]

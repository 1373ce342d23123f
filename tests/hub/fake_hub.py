"""A Hub on this machine: the endpoints that huggingface_hub asks to push and to load a model, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

TOKENS = {"hf_writer": ("me", True), "hf_reader": ("me", False)}  # whose a token is, and whether it may write


@dataclass
class Repo:
    """A repository: its branches' files, and every commit's."""

    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        name = hashlib.sha1(f"{branch} {len(self.commits)}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name

    def at(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


@dataclass
class State:
    """What the server has, what it was asked, and where it fails: a status by a pattern of "METHOD path"."""

    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        return self.repos[repo].commits[self.repos[repo].branches[branch]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        state: State = self.server.state
        body = self._body()
        path = unquote(urlparse(self.path).path)
        state.asked.append(f"{self.command} {path}")
        if status := next((s for pattern, s in state.fails.items() if re.search(pattern, state.asked[-1])), None):
            self._json({"error": f"told to fail\nwith {status}"}, status)
            return
        for pattern, route in ROUTES.items():
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                route(self, state, body, **match.groupdict())
                return
        self._json({"error": "no such endpoint"}, 404)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    # --- who asks ---

    def _owner(self) -> tuple[str | None, bool]:
        return TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), (None, False))

    def _may_write(self, repo: str) -> bool:
        owner, writes = self._owner()
        if owner is None:
            self._json({"error": "Invalid credentials in Authorization header"}, 401)
        elif not writes or repo.partition("/")[0] != owner:
            self._json({"error": "You don't have the rights"}, 403)
        return writes and repo.partition("/")[0] == owner

    def _repo(self, state: State, repo: str) -> Repo | None:
        found = state.repos.get(repo)
        if found is None or (found.private and self._owner()[0] is None):
            self._json(
                {"error": "Repository not found"}, 404 if found is None else 401, {"X-Error-Code": "RepoNotFound"}
            )
            return None
        return found

    def _commit(self, state: State, repo: str, rev: str) -> tuple[Repo, str] | None:
        found = self._repo(state, repo)
        if found is None:
            return None
        name = found.at(rev)
        if name is None:
            self._json({"error": f"Invalid rev id: {rev}"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return found, name

    # --- endpoints ---

    def whoami(self, state: State, body: bytes) -> None:
        owner = self._owner()[0]
        self._json({"name": owner, "type": "user"} if owner else {"error": "Unauthorized"}, 200 if owner else 401)

    def create(self, state: State, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        if not self._may_write(repo):
            return
        url = f"http://{self.headers['Host']}/{repo}"
        if repo in state.repos:
            self._json({"url": url, "error": "You already created this model repo"}, 409)
            return
        state.repos[repo] = Repo(asked.get("visibility") == "private")
        state.repos[repo].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
        self._json({"url": url, "name": repo, "id": "0"})

    def info(self, state: State, body: bytes, repo: str, rev: str | None = None) -> None:
        if found := self._commit(state, repo, rev or "main"):
            self._json({"id": repo, "sha": found[1], "private": found[0].private, "siblings": [], "tags": []})

    def branch(self, state: State, body: bytes, repo: str, rev: str) -> None:
        if self._may_write(repo):
            there = rev in state.repos[repo].branches
            state.repos[repo].branches.setdefault(rev, state.repos[repo].branches["main"])
            self._json({"error": "Reference already exists"} if there else {}, 409 if there else 200)

    def tree(self, state: State, body: bytes, repo: str, rev: str) -> None:
        if found := self._commit(state, repo, rev):
            files = found[0].commits[found[1]]
            self._json([{"type": "file", "path": p, "size": len(c), "oid": etag(c)} for p, c in files.items()])

    def validate(self, state: State, body: bytes) -> None:
        content = json.loads(body)["content"]
        good = content.startswith("---\nlibrary_name: aimgan\n") and "\nlicense: mine\n" not in content
        self._json({"errors": [] if good else [{"message": "no such license"}], "warnings": []}, 200 if good else 400)

    def preupload(self, state: State, body: bytes, repo: str, rev: str) -> None:
        if self._may_write(repo):
            modes = {True: "lfs", False: "regular"}
            self._json({"files": [
                {"path": f["path"], "uploadMode": modes[f["path"].endswith((".safetensors", ".png"))],
                 "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]})  # fmt: skip

    def batch(self, state: State, body: bytes, repo: str) -> None:
        if self._may_write(repo):
            base = f"http://{self.headers['Host']}/blobs"
            self._json({"transfer": "basic", "objects": [
                {**o, "actions": {"upload": {"href": f"{base}/{o['oid']}"}}} for o in json.loads(body)["objects"]
            ]})  # fmt: skip

    def blob(self, state: State, body: bytes, oid: str) -> None:
        whole = hashlib.sha256(body).hexdigest() == oid
        if whole:
            state.blobs[oid] = body
        self._json({}, 200 if whole else 400)

    def commit(self, state: State, body: bytes, repo: str, rev: str) -> None:
        if not self._may_write(repo):
            return
        files = dict(state.files(repo, rev))
        for line in body.splitlines():
            kind, value = json.loads(line)["key"], json.loads(line)["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = state.blobs[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        name = state.repos[repo].commit(rev, files)
        self._json({"commitUrl": f"http://{self.headers['Host']}/{repo}/commit/{name}", "commitOid": name})

    def resolve(self, state: State, body: bytes, repo: str, rev: str, path: str) -> None:
        if found := self._commit(state, repo, rev):
            content = found[0].commits[found[1]].get(path)
            if content is None:
                self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            else:
                self._send(200, content, {"X-Repo-Commit": found[1], "ETag": f'"{etag(content)}"'})

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


API, REPO, REV = r"/api/models/(?P<repo>[^/]+/[^/]+)", r"(?P<repo>[^/]+/[^/]+)", r"(?P<rev>[^/]+)"
ROUTES = {
    "GET /api/whoami-v2": Handler.whoami,
    "POST /api/repos/create": Handler.create,
    f"GET {API}": Handler.info,
    f"GET {API}/revision/{REV}": Handler.info,
    f"POST {API}/branch/{REV}": Handler.branch,
    f"GET {API}/tree/{REV}/?": Handler.tree,
    "POST /api/validate-yaml": Handler.validate,
    f"POST {API}/preupload/{REV}": Handler.preupload,
    rf"POST /{REPO}\.git/info/lfs/objects/batch": Handler.batch,
    "PUT /blobs/(?P<oid>[0-9a-f]{64})": Handler.blob,
    f"POST {API}/commit/{REV}": Handler.commit,
    f"(GET|HEAD) /{REPO}/resolve/{REV}/(?P<path>.+)": Handler.resolve,
}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

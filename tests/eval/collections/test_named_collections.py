"""BEIR's collections by name: downloads that break off, mirrors, checksums, archives; all from 127.0.0.1."""

from __future__ import annotations

import hashlib
import io
import socket
import stat
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.eval.collections import archives, list_collections, open_collection
from leanseek.eval.collections.archives import MIRROR, UnreachableError, download, unpack
from leanseek.eval.collections.official import ARCHIVES, FORUM_NAMES, UNPUBLISHED, official, official_names

CORPUS = "".join(f'{{"_id": "{n}", "title": "", "text": "text {n}"}}\n' for n in range(3000))
FILES = {
    "corpus.jsonl": CORPUS,
    "queries.jsonl": '{"_id": "q", "text": "which"}\n',
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\t7\t1\n",
}


def archive(top: str, files: dict[str, str] = FILES) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(f"{top}/", "")
        for name, text in files.items():
            packed.writestr(f"{top}/{name}" if top else name, text)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `files` by name; of each answer only the next of `cuts` bytes come before the line breaks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.failures: list[int] = []
        self.resumes = True
        self.asked: list[str] = []
        """The Range of each request, "" without."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range", ""))
        content = self.server.files.get(self.path.removeprefix("/"))
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
            return
        if content is None:
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and self.server.resumes:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
        else:
            self.send_response(200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cuts.pop(0)] if self.server.cuts else rest)

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(archives, "PAUSE", 0.0)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(MIRROR, raising=False)
    return tmp_path / "cache" / "beir"


@pytest.fixture
def scifact(server: Server, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The official server is ours, and its scifact a small archive with the right checksum."""
    content = archive("scifact")
    monkeypatch.setattr(archives, "OFFICIAL_URL", server.url)
    publish(monkeypatch, server, "scifact", content)
    return content


def publish(monkeypatch: pytest.MonkeyPatch, server: Server, name: str, content: bytes) -> None:
    monkeypatch.setitem(ARCHIVES, name, hashlib.md5(content).hexdigest())
    server.files[f"{name}.zip"] = content


def left(folder: Path) -> set[str]:
    """What stands in a folder, but for locks."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("name", ["scifact", "beir:scifact", "SciFact"])
def test_downloaded_once(server: Server, scifact: bytes, empty_cache: Path, name: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    opened = open_collection(name, progress=lambda *step: told.append(step))
    assert opened.name == "scifact"
    assert len(list(opened.documents())) == 3000
    assert opened.qrels("test") == {"q": {"7": 1}}
    assert told[-1][0] == "unpacking" and told[-1][1] == told[-1][2]
    assert ("downloading", len(scifact), len(scifact)) in told
    assert left(empty_cache) == {"scifact"}
    assert open_collection(name).checksum == opened.checksum
    assert server.asked == [""]
    assert [one.name for one in list_collections()] == ["scifact"]


def test_a_folder_goes_before_a_name(scifact: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scifact").mkdir()
    (tmp_path / "scifact" / "corpus.jsonl").write_text('{"_id": "mine", "text": "x"}\n')
    monkeypatch.chdir(tmp_path)
    assert [document.id for document in open_collection("scifact").documents()] == ["mine"]
    assert len(list(open_collection("beir:scifact").documents())) == 3000


def test_a_download_goes_on_where_it_broke_off(server: Server, scifact: bytes, empty_cache: Path) -> None:
    server.cuts = [1000, 0, 5000]
    assert len(list(open_collection("scifact").documents())) == 3000
    assert server.asked == ["", "bytes=1000-", "bytes=1000-", "bytes=6000-"]


def test_another_process_goes_on_too(server: Server, scifact: bytes, empty_cache: Path) -> None:
    server.cuts = [3000, *[0] * archives.ATTEMPTS]
    with pytest.raises(
        InputError, match=r"nor could it be downloaded: .*broke off after 3,000 of .* bytes.*--mirror"
    ):
        open_collection("scifact")
    assert left(empty_cache) == {"scifact.zip.part"}
    server.asked.clear()
    assert open_collection("scifact").splits == ("test",)
    assert server.asked == ["bytes=3000-"]


def test_a_server_that_cannot_resume(server: Server, scifact: bytes) -> None:
    server.resumes = False
    server.cuts = [2000]
    assert open_collection("scifact").splits == ("test",)
    assert server.asked == ["", "bytes=2000-"]


def test_what_was_left_of_another_file_is_dropped(server: Server, scifact: bytes, empty_cache: Path) -> None:
    for remnant in (b"x" * 500, b"x" * (len(scifact) + 10)):
        (empty_cache).mkdir(parents=True, exist_ok=True)
        (empty_cache / "scifact.zip.part").write_bytes(remnant)
        server.asked.clear()
        download(f"{server.url}/scifact.zip", empty_cache / "out.zip", ARCHIVES["scifact"], lambda *_: None)
        (empty_cache / "scifact.zip.part").rename(empty_cache / "out.zip.part")
        download(f"{server.url}/scifact.zip", empty_cache / "out.zip", ARCHIVES["scifact"], lambda *_: None)
        assert (empty_cache / "out.zip").read_bytes() == scifact
        assert server.asked == ["", f"bytes={len(remnant)}-", ""]


def test_a_damaged_download_is_refused(server: Server, scifact: bytes, empty_cache: Path) -> None:
    server.files["scifact.zip"] = scifact[:-1] + b"?"
    with pytest.raises(InputError, match=rf"instead of {ARCHIVES['scifact']}: it was damaged"):
        open_collection("scifact")
    assert left(empty_cache) == set()


def test_a_server_in_trouble(server: Server, scifact: bytes) -> None:
    server.failures = [503, 500, 429]
    assert open_collection("scifact").splits == ("test",)
    del server.files["scifact.zip"]
    with pytest.raises(UnreachableError, match="the server answered 404"):
        download(f"{server.url}/scifact.zip", Path("unused"), "", lambda *_: None)


def test_offline(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(archives, "PAUSE", 0.0)
    monkeypatch.setattr(archives, "OFFICIAL_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(InputError) as raised:
        open_collection("nfcorpus")
    told = str(raised.value)
    assert (
        f"the collection 'nfcorpus' is neither in {empty_cache / 'nfcorpus'} nor could it be downloaded"
        in told
    )
    assert f"http://127.0.0.1:{port}/nfcorpus.zip" in told and "refused" in told
    assert all(way in told for way in ("--mirror", "mirror=", MIRROR, "NAME.zip"))


def test_a_name_that_does_not_resolve_is_given_up_on_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def unresolved(request: urllib.request.Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", unresolved)
    with pytest.raises(UnreachableError, match=r"http://x\.example/z\.zip: Name or service not known"):
        download("http://x.example/z.zip", tmp_path / "z.zip", "", lambda *_: None)
    assert len(asked) == 1


def test_a_cache_that_cannot_be_written(server: Server, scifact: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="LEANSEEK_CACHE"):
        download(
            f"{server.url}/scifact.zip", tmp_path / "file" / "z.zip", ARCHIVES["scifact"], lambda *_: None
        )


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize("kind", ["folder", "zip", "url"])
def test_mirrors(
    server: Server, scifact: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kind: str
) -> None:
    monkeypatch.setattr(archives, "OFFICIAL_URL", "http://127.0.0.1:9/not-asked")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    if kind == "folder":
        unpack_here(scifact, mirror)
    elif kind == "zip":
        (mirror / "scifact.zip").write_bytes(scifact)
    else:
        server.files["deep/scifact.zip"] = scifact
    where = f"{server.url}/deep/" if kind == "url" else str(mirror)
    if given == "environment":
        monkeypatch.setenv(MIRROR, where)
    opened = open_collection("scifact", mirror=where if given == "argument" else None)
    assert opened.splits == ("test",) and len(list(opened.documents())) == 3000


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def unpack_here(content: bytes, folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        file.extractall(folder)


def test_mirrors_that_lack_it(scifact: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has neither scifact/ nor scifact\.zip"):
        open_collection("scifact", mirror=str(tmp_path))
    (tmp_path / "scifact.zip").write_bytes(scifact + b"?")
    with pytest.raises(InputError, match=r"has the MD5 \w+ instead of"):
        open_collection("scifact", mirror=str(tmp_path))


def test_the_forums_of_cqadupstack(server: Server, scifact: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {f"{forum}/{name}": text for forum in ("android", "tex") for name, text in FILES.items()}
    publish(monkeypatch, server, "cqadupstack", archive("cqadupstack", parts))
    for name in ("cqadupstack/android", "beir:cqadupstack-tex"):
        opened = open_collection(name)
        assert opened.name == name.removeprefix("beir:").replace("/", "-")
        assert opened.splits == ("test",)
    assert server.asked == [""]
    assert [one.name for one in list_collections()] == ["cqadupstack-android", "cqadupstack-tex"]
    with pytest.raises(
        UsageError, match="CQADupStack is twelve of them: cqadupstack/android, cqadupstack/english"
    ):
        open_collection("cqadupstack")


def test_names() -> None:
    assert len(FORUM_NAMES) == 12 and len({*ARCHIVES, *UNPUBLISHED}) == 19  # BEIR's 18, and MS MARCO
    for name in official_names():
        wanted = official(name)
        assert wanted is not None and wanted.name == name.replace("/", "-")
    assert official("scifact/test") is official("robust") is None


def test_what_the_package_beir_says_of_its_archives() -> None:
    metadata = pytest.importorskip("importlib.metadata")
    try:
        table = metadata.metadata("beir").get_payload() or metadata.metadata("beir")["Description"]
    except metadata.PackageNotFoundError:
        pytest.skip("the package beir is not installed")
    for name, md5 in ARCHIVES.items():
        [row] = [line for line in table.splitlines() if f"/{name}.zip)" in line and line.startswith("|")]
        assert md5 in row


def test_what_is_not_handed_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'bioasq' is not distributed by BEIR"):
        open_collection("bioasq")
    unpack_here(archive("bioasq"), tmp_path)
    assert open_collection("bioasq", mirror=str(tmp_path)).splits == ("test",)


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a/../../evil", "C:/evil", "..\\evil"])
def test_members_that_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "z.zip").write_bytes(archive("", {"good/corpus.jsonl": "x", name: "evil"}))
    with pytest.raises(InputError, match="does not belong into a folder of its own; nothing was unpacked"):
        unpack(tmp_path / "z.zip", tmp_path / "out" / "c", lambda *_: None)
    assert files_below(tmp_path) == ["z.zip"]


def test_links_and_damage_are_refused_whole(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("c/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr("c/corpus.jsonl", "x")
        file.writestr(link, "/etc/passwd")
    good = bytearray(archive("c"))
    place = good.index(b"text 100")
    good[place] ^= 1
    (tmp_path / "flipped.zip").write_bytes(bytes(good))
    (tmp_path / "cut.zip").write_bytes(archive("c")[:-100])
    (tmp_path / "none.zip").write_bytes(archive("c", {}))
    for name in ("link", "flipped", "cut", "none"):
        with pytest.raises(InputError, match=rf"{name}\.zip"):
            unpack(tmp_path / f"{name}.zip", tmp_path / "out" / name, lambda *_: None)
    assert files_below(tmp_path) == ["cut.zip", "flipped.zip", "link.zip", "none.zip"]


def test_strays_of_other_systems_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(archive("", {"c/corpus.jsonl": "x", "__MACOSX/c/._corpus.jsonl": "y"}))
    unpack(tmp_path / "z.zip", tmp_path / "c", lambda *_: None)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["corpus.jsonl"]

"""`earwitness domains import` as a command: two voices answer in another service; a hostile file leaves nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served, start, stop
from test_backfill import asked, run

from earwitness.samples import first_call, second_call
from earwitness.vault.age import new_identity

pytestmark = pytest.mark.slow

SECRET, PUBLIC = new_identity()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key.txt"
    file.write_text(SECRET, encoding="utf-8")
    return file


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Served]:
    """A service with records of its own, without a domain."""
    running = start(tmp_path / "other")
    yield running
    if running.process.poll() is None:
        stop(running)


def exported(served: Served, file: Path) -> str:
    """Return the domain with two voices that the file holds then."""
    domain = asked(served, "domains", "create", "callers")["domainId"]
    for person in ("kal", "sally"):
        asked(served, "domains", "enroll", domain, str(first_call(person)), "--consent", f"form of {person}")
    done = run(served, "domains", "export", domain, str(file), "--to", PUBLIC)
    assert done.returncode == 0, done
    return domain


def answers(served: Served, domain: str) -> list[Any]:
    """Whom the domain names for a call of each voice in it, and how sure it is."""
    calls = [asked(served, "domains", "search", domain, str(second_call(person))) for person in ("kal", "sally")]
    return [
        (call["outcome"], [(one["profileId"], pytest.approx(one["score"], abs=1e-6)) for one in call["candidates"]])
        for call in calls
    ]


def consents(served: Served, domain: str) -> dict[str, list[str]]:
    found = asked(served, "profiles", "--domain", domain)
    return {one["profileId"]: [each["consentReference"] for each in one["voiceprints"]] for one in found}


def test_another_service_gives_the_same_answers(served: Served, other: Served, tmp_path: Path, key: Path) -> None:
    file = tmp_path / "callers.tar"
    domain = exported(served, file)
    command = "domains", "import", str(file), "--key", str(key), "--data", str(other.data)
    done = asked(other, *command)
    assert (done["profiles"], done["voiceprints"], done["leftOut"]) == (2, 2, [])
    expected = answers(served, domain)
    assert [outcome for outcome, _ in expected] == ["match", "match"]
    assert answers(other, done["domainId"]) == expected  # it served meanwhile
    stop(other)
    again = start(other.data)
    assert answers(again, done["domainId"]) == expected
    assert consents(again, done["domainId"]) == consents(served, domain)
    taken = run(again, *command)
    assert (taken.returncode, "--new-ids" in taken.stderr) == (2, True), taken
    anew = run(again, *command, "--new-ids", "--name", "callers anew")
    assert (anew.returncode, "2 profiles, 2 voiceprints" in anew.stdout) == (0, True), anew
    assert sorted(one["name"] for one in asked(again, "domains", "list")) == ["callers", "callers anew"]
    stop(again)


def test_a_hostile_file_leaves_nothing(served: Served, other: Served, tmp_path: Path, key: Path) -> None:
    file, strangers = tmp_path / "callers.tar", tmp_path / "strangers.txt"
    exported(served, file)
    strangers.write_text(new_identity()[0], encoding="utf-8")
    whole = file.read_bytes()
    files = {
        "cut": whole[: len(whole) // 2],
        "changed": whole[:-4000] + bytes([whole[-4000] ^ 1]) + whole[-3999:],
        "longer": whole + whole,
        "empty": b"",
        "strange": b"of somebody else" * 1000,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    before = sorted(path.name for path in other.data.rglob("*"))
    for arguments, code, words in (
        *(((tmp_path / name, "--key", key), 6, "export") for name in files),
        ((file, "--key", strangers), 6, "key"),
        ((file,), 6, "--key"),
        ((tmp_path / "none.tar",), 6, "cannot be read"),
        ((tmp_path, "--key", key), 6, "cannot be read"),
        ((file, "--key", key, "--into", "vpd-none"), 2, "does not exist"),
    ):
        done = run(other, "domains", "import", *map(str, arguments), "--data", str(other.data))
        told = " ".join(done.stderr.split())
        assert (done.returncode, words in told, SECRET in told) == (code, True, False), (arguments, done)
        assert asked(other, "domains", "list") == [], arguments
    assert sorted(path.name for path in other.data.rglob("*")) == before

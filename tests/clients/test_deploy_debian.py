"""deploy/debian: the package is built from the programs that are tested, has what it should have where
Debian looks for it, and lintian finds nothing but what is meant.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import environment, missing
from deploy_files import DEPLOY, PATH, ROOT, run, settings_of, tool

SHELLS = ["bash", "zsh", "fish"]

# What lintian says and is meant, with the reason.
MEANT = [
    # Rust links libraries into the program.
    "embedded-library",
    # Whoever publishes packages is their maintainer and has an address.
    "malformed-contact",
    # CHANGELOG.md is for people, whatever they install.
    "no-changelog",
    "wrong-name-for-upstream-changelog",
]

FILES = {
    "usr/bin/ringbinder",
    "usr/bin/ringbinderd",
    "etc/ringbinder/ringbinderd.toml",
    "usr/lib/systemd/system/ringbinderd.service",
    "usr/lib/systemd/system/ringbinderd.socket",
    "usr/lib/sysusers.d/ringbinder.conf",
    "usr/share/man/man8/ringbinderd.8.gz",
    "usr/share/man/man1/ringbinder.1.gz",
    "usr/share/man/man1/ringbinder-ring-plan.1.gz",
    "usr/share/bash-completion/completions/ringbinder",
    "usr/share/bash-completion/completions/ringbinderd",
    "usr/share/zsh/vendor-completions/_ringbinder",
    "usr/share/zsh/vendor-completions/_ringbinderd",
    "usr/share/fish/vendor_completions.d/ringbinder.fish",
    "usr/share/fish/vendor_completions.d/ringbinderd.fish",
    "usr/share/doc/ringbinder/copyright",
    "usr/share/doc/ringbinder/CHANGELOG.md",
    "usr/share/doc/ringbinder/operations.md",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package, built once for all tests here."""
    # Where tests/run installs it, or wherever it is.
    target = Path(os.environ["RINGBINDERD"]).parent.parent
    path = f"{target / 'tools/bin'}:{PATH}"
    if shutil.which("cargo-deb", path=path) is None:
        missing("cargo-deb is not installed (cargo install cargo-deb --locked)")
    tool("dpkg-deb", "dpkg")
    output = tmp_path_factory.mktemp("package")
    variables = {**os.environ, "PATH": path, "CARGO_TARGET_DIR": str(target)}
    run(DEPLOY / "debian/build", "--dev", "--output", output, env=variables)
    (built,) = output.glob("*.deb")
    return built


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory):
    """What the package brings, below a directory."""
    root = tmp_path_factory.mktemp("root")
    run("dpkg-deb", "-x", package, root)
    return root


def field(package, name):
    return run("dpkg-deb", "-f", package, name).strip()


def test_everything_is_in_it_and_belongs_to_root(package):
    listed = [line.split() for line in run("dpkg-deb", "-c", package).splitlines()]
    assert {words[1] for words in listed} == {"0/0"}
    modes = {words[5].removeprefix("./"): words[0] for words in listed}
    assert FILES <= modes.keys(), FILES - modes.keys()
    for name, mode in modes.items():
        wanted = "rwxr-xr-x" if name.startswith("usr/bin/") or name.endswith("/") else "rw-r--r--"
        assert mode[1:] == wanted, name
    # Each command has a page.
    commands = re.findall(r"^## ringbinder ([a-z ]+)$", (ROOT / "docs/cli.md").read_text(), re.M)
    assert len(commands) > 20
    for command in commands:
        page = f"usr/share/man/man1/ringbinder-{command.replace(' ', '-')}.1.gz"
        assert page in modes, page


def test_it_says_what_it_is(package):
    assert field(package, "Package") == "ringbinder"
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert field(package, "Version").startswith(version)
    assert "libc6" in field(package, "Depends")
    assert field(package, "Description").count("\n") >= 3


def test_settings_of_the_operator_stay(package, tmp_path):
    run("dpkg-deb", "-e", package, tmp_path)
    assert (tmp_path / "conffiles").read_text().split() == ["/etc/ringbinder/ringbinderd.toml"]
    for script in ("postinst", "prerm", "postrm"):
        run("sh", "-n", tmp_path / script)
        assert os.access(tmp_path / script, os.X_OK)


def test_lintian_has_nothing_to_say(package):
    lintian = tool("lintian", "lintian")
    done = subprocess.run(
        [lintian, "--allow-root", "--fail-on=error,warning"]
        + ["--suppress-tags", ",".join(MEANT), package],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_programs_take_its_settings(unpacked):
    program = unpacked / "usr/bin/ringbinderd"
    run(program, "--version", env=environment())
    run(unpacked / "usr/bin/ringbinder", "--version", env=environment())
    settings_of({}, unpacked / "etc/ringbinder/ringbinderd.toml")


def test_the_settings_in_the_readme_are_settings(tmp_path):
    command = re.search(r"^ +(printf .*) > /etc/\S+$", (ROOT / "README.md").read_text(), re.MULTILINE)
    config = tmp_path / "ringbinderd.toml"
    config.write_text(run("sh", "-c", command[1]))
    assert settings_of({}, config)["ring"] == "/etc/ringbinder/ring.toml"


def test_units_start_what_it_brings(unpacked):
    for line in (unpacked / "usr/lib/systemd/system/ringbinderd.service").read_text().splitlines():
        if line.startswith(("ExecStart=", "ExecStartPre=")):
            program, _, config = line.partition("=")[2].split()[:3]
            assert (unpacked / program[1:]).exists() and (unpacked / config[1:]).exists(), line


def test_man_pages_are_sound(unpacked):
    mandoc = tool("mandoc", "mandoc")
    pages = sorted((unpacked / "usr/share/man").rglob("*.gz"))
    assert len(pages) > 20
    for page in pages:
        # Errors only: the generator leaves blank lines about that mandoc warns of.
        plain = page.with_suffix("")
        plain.write_bytes(subprocess.run(["gzip", "-dc", page], capture_output=True, check=True).stdout)
        run(mandoc, "-T", "lint", "-W", "error", plain)
        plain.unlink()


def complete(shell, script, program, word):
    """What a shell offers for the beginning of a word after a program's name."""
    if shell == "fish":
        return run("fish", "--no-config", "-c", f'source "{script}"; complete -C "{program} {word}"')
    call = f"""
        source '{script}'
        COMP_WORDS=({program} {word}); COMP_CWORD=1
        _{program} {program} '{word}' {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return run("bash", "--norc", "-c", call)


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_complete(unpacked, shell):
    tool(shell, shell)
    where = {
        "bash": "usr/share/bash-completion/completions/{}",
        "zsh": "usr/share/zsh/vendor-completions/_{}",
        "fish": "usr/share/fish/vendor_completions.d/{}.fish",
    }
    for program, word, whole in [
        ("ringbinderd", "--memory-l", "--memory-limit"),
        ("ringbinder", "comple", "completions"),
    ]:
        script = unpacked / where[shell].format(program)
        if shell == "zsh":
            # Outside its line editor zsh completes nothing: it finds the script and parses it.
            load = f"fpath=({script.parent} $fpath); autoload -Uz compinit; compinit -u -D"
            check = f'[[ "${{_comps[{program}]}}" == _{program} ]] && autoload +X _{program}'
            run("zsh", "-f", "-c", f"{load}; {check}")
            continue
        offered = complete(shell, script, program, word)
        assert whole in offered.split(), offered

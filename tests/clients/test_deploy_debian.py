"""deploy/debian: the package is built from the programs that are tested, has what it should have where
Debian looks for it, and lintian finds nothing but what is meant.
"""

import os
import re
import shutil
import subprocess
import tomllib
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
    "usr/share/doc/ringbinder/examples/hand-over.conf",
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


def readme_lines():
    """The commands of "In production" in the README, as they stand there."""
    section = re.search(r"^## In production$(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)[1]
    (block,) = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [line[4:] for line in block.splitlines()]


def test_the_readmes_lines_put_a_node_into_production(package, unpacked, tmp_path):
    # The directory that the README asks for: the package and the ring file are in it.
    here, root, bin = tmp_path / "here", tmp_path / "root", tmp_path / "bin"
    for directory in (here, root, bin):
        directory.mkdir()
    shutil.copy(package, here)
    ring = 'version = 1\n[[node]]\nname = "cache-a"\naddress = "10.0.0.1:11211"\n'
    (here / "ring.toml").write_text(ring)
    # What changes the machine is done to the root directory, or only noted.
    log = tmp_path / "log"
    programs = {
        "apt": f'test "$1" = install && shift && test -f "$1" && dpkg-deb -x "$1" {root}',
        "systemctl": f'echo "systemctl $*" >>{log}',
        "ringbinder": f'echo "ringbinder $*" >>{log}',
    }
    for name, script in programs.items():
        (bin / name).write_text(f"#!/bin/sh\nset -e\n{script}\n")
        (bin / name).chmod(0o755)
    for line in readme_lines():
        placed = re.sub(r"(?<![\w.])/(etc|usr|var|run)/", rf"{root}/\1/", line)
        run("sh", "-ec", placed, cwd=here, env={**os.environ, "PATH": f"{bin}:{PATH}"})

    # Nothing of the package's is changed, above all no file that dpkg would ask about at an upgrade.
    for path in unpacked.rglob("*"):
        if path.is_file():
            assert (root / path.relative_to(unpacked)).read_bytes() == path.read_bytes(), path
    packaged = settings_of({}, unpacked / "etc/ringbinder/ringbinderd.toml")
    config = root / "etc/ringbinder/ringbinderd.toml"
    (local,) = config.with_name("ringbinderd.toml.d").iterdir()
    named = tomllib.loads(local.read_text().replace(str(root), ""))
    # settings_of asserts that there is no warning, so the ring names this node.
    local.write_text(local.read_text().replace(str(root), ""))
    effective = settings_of({}, config, ring=here / "ring.toml")
    for key, value in named.items():
        assert effective[key] in (value, [value]), key
    for key in packaged.keys() - named.keys():
        assert effective[key] == packaged[key], key
    assert effective["disable_flush_all"] is True and effective["snapshot"] == packaged["snapshot"]
    assert effective["ring"] == "/etc/ringbinder/ring.toml"

    noted = log.read_text().splitlines()
    assert noted[0] == "systemctl enable --now ringbinderd"
    assert (root / "usr/lib/systemd/system/ringbinderd.service").exists()
    assert noted[1:] == [f"ringbinder check --ring {root}/etc/ringbinder/ring.toml"]


@pytest.mark.parametrize("reloads_by", ["kill -HUP", "hand-over"])
def test_an_upgrade_restarts_the_node_or_has_it_handed_over(package, tmp_path, reloads_by):
    run("dpkg-deb", "-e", package, tmp_path)
    drop_in = (DEPLOY / "systemd/hand-over.conf").read_text()
    reload = re.findall(r"^ExecReload=(.+)$", drop_in, re.MULTILINE)[0]
    shown = f"ExecReload={{ path=/x ; argv[]={reload if reloads_by == 'hand-over' else reloads_by} }}"
    bin, log = tmp_path / "bin", tmp_path / "log"
    bin.mkdir()
    for name in ("systemctl", "systemd-sysusers", "deb-systemd-invoke"):
        (bin / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >>{log}\n[ "$1" != show ] || echo "{shown}"\n'
        )
        (bin / name).chmod(0o755)
    script = tmp_path / "postinst"
    script.write_text(script.read_text().replace("/run/systemd/system", str(bin)))
    for version in ([], ["0.0.9"]):
        log.write_text("")
        run(script, "configure", *version, env={**os.environ, "PATH": f"{bin}:{PATH}"})
        done = [line for line in log.read_text().splitlines() if "invoke" in line]
        verb = "reload" if reloads_by == "hand-over" else "try-restart"
        assert done == ([f"deb-systemd-invoke {verb} ringbinderd.service"] if version else [])


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
            load = f"fpath=('{script.parent}' $fpath); autoload -Uz compinit; compinit -u -D"
            check = f'[[ "${{_comps[{program}]}}" == _{program} ]] && autoload +X _{program}'
            run("zsh", "-f", "-c", f"{load}; {check}")
            continue
        offered = complete(shell, script, program, word)
        assert whole in offered.split(), offered

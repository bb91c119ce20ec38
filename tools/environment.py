"""What stands before compiling and running: `.venv` and the packages in it. `make` calls it; each step is told in plain words.

`made` makes .venv, again where it is half made, was moved or lost its Python or its pip, and is silent where it is whole.
`build` installs what compiling needs, `run` what running needs, `dev` and the other extras of pyproject.toml what they name.
Standard library alone, in words that Python 3.6 reads, so that one which is too old can say so.
"""
import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec

VENV = os.path.abspath(".venv")
OWN, BEGUN = os.path.join(VENV, "bin", "python"), os.path.join(VENV, "begun")
LOG = os.path.join("build", "install.log")
OLDEST, NEWEST = (3, 11), (3, 13)
INSTALL = """Install what is needed, then run make again:
  Debian, Ubuntu:  sudo apt install git make gcc python3-dev python3-venv
  Fedora:          sudo dnf install git make gcc python3.13-devel"""
TROUBLES = {
    "No space left|Errno 28": "the disk is full: free 3 GB here, or set TMPDIR to a larger disk, then run make again",
    "CERTIFICATE_VERIFY_FAILED": "this machine does not trust the certificate of the package index: set pip's `cert` to the "
                                 "right file, then run make again",
    "No module named '?(pip|ensurepip)": "pip has gone from .venv: run make again, it will be made anew",
    "Max retries|Retrying|NewConnection|NameResolution|Timeout|ProxyError|ConnectionReset|IncompleteRead":
        "the package index cannot be reached: look at the network or the proxy, then run make again",
    "No matching distribution": "there is no such package for this Python or this machine",
}


def fail(words):
    sys.exit("error: " + words)


def explain(output, what):
    """Ends with what to do, where that is known; else with the last words of who failed."""
    for pattern, words in TROUBLES.items():
        if re.search(pattern, output):
            fail(f"{what}: {words} ({LOG})")
    fail("\n".join([f"{what}:", *output.splitlines()[-15:]]))


def go_on_in_a_python_that_fits():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
            found = shutil.which(f"python3.{minor}")
            if found and subprocess.run([found, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                os.execv(found, [found, *sys.argv])
        fail(f"Python 3.11 to 3.13 is needed, and this is {sys.version_info[0]}.{sys.version_info[1]}. {INSTALL}\n"
             "or, where one lies elsewhere: make run PYTHON=/where/python3.12")


def what_is_missing():
    """Of what a distribution's packages bring."""
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "gcc").split()[0]
    missing = []
    if not shutil.which(compiler):
        missing.append(f"the C compiler ({compiler})")
    elif subprocess.run([compiler, "-E", "-"], input=b"#include <stdio.h>\n", capture_output=True, check=False).returncode:
        missing.append("the C library's headers")
    if not os.path.exists(header):
        missing.append(f"Python's headers ({header})")
    if not (find_spec("venv") and find_spec("ensurepip")):
        missing.append("Python's venv and ensurepip")
    return missing


def what_is_wrong():
    """Why .venv must be made; empty where it is whole."""
    if not os.path.lexists(VENV):
        return "there is none yet"
    if os.path.exists(BEGUN):
        return "the one there was interrupted"
    try:
        with open(os.path.join(VENV, "pyvenv.cfg")) as file:
            place = re.search("^command = .* -m venv (?:--?[a-z-]+ )*(.*)$", file.read(), re.MULTILINE)
        works = subprocess.run([OWN, "-c", "import pip._internal"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return "the Python of the one there is gone"
    if place and place.group(1) != VENV:
        return "the one there belongs to another folder"
    return "" if works else "the one there has no pip, or is of another Python"


def make():
    wrong = what_is_wrong()
    if wrong:
        go_on_in_a_python_that_fits()
        missing = what_is_missing()
        if missing:
            fail(f"missing: {', '.join(missing)}. {INSTALL}")
        begun = time.monotonic()
        print(f"making the environment .venv ({wrong}):", end=" ", flush=True)
        if os.path.islink(VENV):
            os.unlink(VENV)
        shutil.rmtree(VENV, ignore_errors=True)
        os.makedirs(VENV, exist_ok=True)
        open(BEGUN, "w").close()
        done = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode:
            explain(done.stdout, "python -m venv failed")
        os.unlink(BEGUN)
        print(f"{time.monotonic() - begun:.0f} s", flush=True)


def the_lock():
    """One at a time in this folder. Given to pip too, so that it is held while pip lives, whoever kills us."""
    lock = open("pyproject.toml")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("another make is at work here: waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def install(lock, purpose, *what):
    """One call of pip in our own words: the large downloads as they begin, then how many packages there are. The rest is in LOG."""
    print(f"downloading what {purpose}", flush=True)
    open(BEGUN, "w").close()                               # a package that was cut short looks whole to pip
    begun, lines, size, packages = time.monotonic(), [], 0.0, 0
    process = subprocess.Popen(
        [OWN, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar", "off", *what],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[lock.fileno()],
        env=dict(os.environ, SPIKE_BUILD="none", PYTHONUNBUFFERED="1"))
    for line in process.stdout:
        lines.append(line)
        found = re.match(r" *(Downloading|Using cached) .*?([\w.]+)-\d\S*\.(?:whl|tar\.gz) \(([\d.]+) (kB|MB)\)", line)
        if found:
            part = float(found.group(3)) / (1 if found.group(4) == "MB" else 1000)
            size += part
            if part >= 10 and found.group(1) == "Downloading":
                print(f"  {found.group(2)}, {part:.0f} MB", flush=True)
        elif line.startswith("Installing collected packages"):
            packages = line.count(",") + 1
            print(f"installing {packages} packages, {size:.0f} MB packed; the download took {time.monotonic() - begun:.0f} s",
                  flush=True)
            begun = time.monotonic()
    code = process.wait()
    os.makedirs("build", exist_ok=True)
    with open(LOG, "a") as file:
        file.writelines(lines)
    if code:
        explain("".join(lines), "pip failed")
    os.unlink(BEGUN)
    if packages:
        print(f"installed {packages} packages: {time.monotonic() - begun:.0f} s", flush=True)


def build_requirements():
    import tomllib

    with open("pyproject.toml", "rb") as file:
        return tomllib.load(file)["build-system"]["requires"]


def main(what):
    lock = the_lock()
    if what == "made":
        make()
    elif what == "build":
        install(lock, "compiling needs", *build_requirements())
    elif what == "run":
        install(lock, "running needs", "--no-build-isolation", "-e", ".[watch]")
    else:
        install(lock, f"`{what}` of pyproject.toml names", "--no-build-isolation", "-e", f".[{what}]")
    stamp = os.path.join(VENV, what)
    if what != "made" or not os.path.exists(stamp):
        open(stamp, "w").close()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("interrupted: the next make goes on")
    except OSError as problem:
        explain(str(problem), "the environment could not be made")

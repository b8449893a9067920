# What both doors share; sourced by them, with $root set. POSIX sh.
# `ensure_venv requirements.txt` leaves a .venv that holds what the file asks for, and says nothing when it already does.

venv=$root/.venv

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The interpreter behind $1 (of a virtual environment: the one it was made with), if it is recent enough and whole.
interpreter() {
    "$1" -c 'import ensurepip, sys, venv; sys.version_info < (3, 11) and sys.exit(1); print(sys._base_executable)' \
        2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        interpreter "$PYTHON" || fail "Expected PYTHON to name Python 3.11 or newer with its venv module, got" \
            "'$PYTHON'; name another, or unset PYTHON to have one looked for."
        return
    fi
    for name in python3.13 python3.12 python3.11 python3 python; do
        interpreter "$name" && return
    done
    fail "Expected Python 3.11 or newer with its venv module on the PATH, found none; install it" \
        "(Debian, Ubuntu: apt-get install python3 python3-venv) or say where it is: PYTHON=/path/to/python3 $0"
}

# -I and -S leave the site packages out: this runs at every start.
version() { "$1" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# What the installation depends on: this folder, the Python, and the requirement files ($1 stands for the door's own).
key() {
    printf '%s\n' "$root" "$(version "$venv/bin/python")"
    (cd "$root" && cksum requirements.txt constraints.txt pyproject.toml "$1")
}

# The version that PYTHON asks for, if it asks, is the one of the environment.
agrees() { [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$venv/bin/python")" ]; }

ready() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/.installed-$1" ] && agrees &&
        [ "$(cat "$venv/.installed-$1")" = "$(key "$1")" ]
}

# What a command says is shown only if it fails by itself, not when Ctrl-C stops it.
quietly() {
    "$@" >"$venv/.log" 2>&1 || {
        cat "$venv/.log" >&2
        return 1
    }
}

install_into_venv() {
    if [ -e "$venv/.unfinished" ] || ! interpreter "$venv/bin/python" >/dev/null || ! agrees ||
        ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        : >"$venv/.unfinished"
        rm -rf "$venv/bin" "$venv/include" "$venv/lib" "$venv/lib64" "$venv/pyvenv.cfg"
        quietly "$python" -m venv "$venv" || fail "Could not make $venv with $python; the reason stands above."
    fi
    # from here to the last line an interruption leaves .unfinished, and the next start begins anew
    : >"$venv/.unfinished"
    rm -f "$venv"/.installed-*
    (cd "$root" && quietly "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check \
        --constraint constraints.txt --requirement "$1") ||
        fail "Could not install $1 into $venv; pip's reason stands above. Check the network and start again."
    key requirements.txt >"$venv/.installed-requirements.txt"
    # the development set contains the other
    [ "$1" = requirements.txt ] || key "$1" >"$venv/.installed-$1"
    rm -f "$venv/.unfinished"
}

ensure_venv() {
    if ready "$1"; then return; fi
    python=$(find_python) || exit 1
    say "Setting up .venv (once, about a minute) ..."
    mkdir -p "$venv" || fail "Could not make $venv; is this folder writable?"
    # one setup at a time; the kernel drops the lock when this shell ends, however it ends
    exec 9>"$venv/.lock"
    "$python" -c 'import fcntl; fcntl.flock(0, fcntl.LOCK_EX)' <&9
    ready "$1" || install_into_venv "$1"
    exec 9>&-
}

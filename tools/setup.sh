#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs what building, checking, testing and running Umbra need.
#
#	tools/setup.sh [build|all]	default: all
#	tools/setup.sh --missing	only name what is missing
#
# Every package is known by a file or a command that it brings. If all of them
# are there the script costs a few milliseconds and says nothing, so the
# Makefile calls it each time: a stamp would lie once a package is removed. On
# a Debian machine it installs what is missing, as root or through a sudo that
# asks for no password; anywhere else it names the packages in one line and
# fails.
set -euo pipefail

# group  probe (a command, or a path pattern with a slash)  packages
needed() {
	cat <<'TABLE'
build gcc gcc
build ld binutils
build make make
build python3 python3
build nasm nasm
build grub-mkrescue grub-common
build /usr/lib/grub/i386-pc/moddep.lst grub-pc-bin
build /usr/lib/grub/x86_64-efi/moddep.lst grub-efi-amd64-bin
build xorriso xorriso
build mformat mtools
run bochs-bin bochs bochs-term
run bxhub bochs bochs-term
run /usr/share/bochs/BIOS-bochs-latest bochsbios
run /usr/share/bochs/VGABIOS-lgpl-latest vgabios
run qemu-system-x86_64 qemu-system-x86
run /usr/share/OVMF/OVMF_CODE.fd ovmf
test git git
test /usr/include/stdio.h libc6-dev
test /usr/include/cmocka.h libcmocka-dev
test /usr/include/Zydis/Zydis.h libzydis-dev libzycore-dev
test /usr/include/lz4.h liblz4-dev
test clang clang
test /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a libclang-rt-dev
test clang-format clang-format
test clang-tidy clang-tidy
test cppcheck cppcheck
test iasl acpica-tools
test spin spin
test gdb gdb
TABLE
}

is_present() {
	case $1 in
	*/*) compgen -G "$1" >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# The packages of one group, or of all, whose probe finds nothing.
missing_packages() {
	local group probe packages

	while read -r group probe packages; do
		[ "$1" = all ] || [ "$1" = "$group" ] || continue
		is_present "$probe" || printf '%s\n' $packages
	done < <(needed) | sort -u
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo -n "$@"
	fi
}

may_become_root() {
	[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
		apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

# With no package lists at all, or with old ones that name files which the
# archive no longer has, the first try fails and fresh lists help.
install() {
	if apt-cache show "$@" >/dev/null 2>&1 && try_install "$@"; then
		return 0
	fi
	apt update && try_install "$@"
}

try_install() {
	apt install -y --no-install-recommends "$@"
}

main() {
	local group=${1:-all} log

	if [ "$group" = --missing ]; then
		missing_packages all
		return 0
	fi

	local -a missing
	mapfile -t missing < <(missing_packages "$group")
	[ ${#missing[@]} -gt 0 ] || return 0

	if ! command -v apt-get >/dev/null || ! may_become_root; then
		echo "setup: please install these Debian packages:" \
			"${missing[*]}" >&2
		return 1
	fi

	echo "setup: installing ${missing[*]} (this may take minutes)" >&2
	log=$(mktemp)
	trap "rm -f '$log'" EXIT
	if install "${missing[@]}" >"$log" 2>&1 </dev/null; then
		mapfile -t missing < <(missing_packages "$group")
		[ ${#missing[@]} -eq 0 ] && return 0
		echo "setup: installed, yet not found: what tools/setup.sh" \
			"expects of ${missing[*]}" >&2
		return 1
	else
		tail -n 20 "$log" >&2
		echo "setup: apt-get failed (see above); please install:" \
			"${missing[*]}" >&2
		return 1
	fi
}

main "$@"

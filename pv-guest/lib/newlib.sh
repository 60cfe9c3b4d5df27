#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds newlib, the C library of the guests, from Debian's newlib-source.
#
# A PV guest is a bare i686-elf program, and Debian has no compiler of that name.  The one it has
# (gcc -m32 from gcc-multilib) makes the right code as soon as its Linux habits are taken away:
# three small wrappers, named i686-elf-* as newlib's configure expects, do that.  Nothing is
# fetched: the source is the package's tar file.
#
# usage: newlib.sh BUILDDIR        prints nothing when the cached library is current
#
# BUILDDIR/cross/bin/    the wrappers (guest.mk compiles guests with them too)
# BUILDDIR/newlib/       include/ and lib/, with the key that says what they were built from
#
# Next: pv-guest/guest.mk, which links guests with the result; lib/syscalls.c, what newlib calls.
set -eu

build=$(mkdir -p "$1" && cd "$1" && pwd)
source=$(ls /usr/src/newlib/newlib-*.tar.* 2>/dev/null | tail -n 1)
[ -n "$source" ] || { echo "newlib.sh: no /usr/src/newlib: apt-get install newlib-source" >&2; exit 1; }

cross=$build/cross/bin
out=$build/newlib
cflags="-m32 -march=i686 -ffreestanding -fno-pic -fno-pie -no-pie -fno-stack-protector
        -fcf-protection=none -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
        -U__linux__ -U__linux -Ulinux -U__unix__ -U__unix -Uunix -U__gnu_linux__ -U__ELF_linux__"
# The two io options give printf %lld and %zu.
config="--target=i686-elf --disable-multilib --disable-newlib-supplied-syscalls --disable-nls
        --disable-libgloss --disable-shared --enable-newlib-nano-malloc
        --enable-newlib-io-long-long --enable-newlib-io-c99-formats"

key=$( { cat "$0"; sha256sum "$source"; gcc --version; } | sha256sum | cut -c1-32)
[ "$(cat "$out/key" 2>/dev/null || true)" = "$key" ] && exit 0

# --- the wrappers ---------------------------------------------------------------------------
rm -rf "$build/cross" && mkdir -p "$cross"
printf '#!/bin/sh\nexec as --32 "$@"\n' >"$cross/i686-elf-as"
printf '#!/bin/sh\nexec ld -m elf_i386 "$@"\n' >"$cross/i686-elf-ld"
printf '#!/bin/sh\nexec gcc %s -nostdinc -isystem %s -isystem %s "$@"\n' \
    "$(echo $cflags)" "$(gcc -m32 -print-file-name=include)" \
    "$(gcc -m32 -print-file-name=include-fixed)" >"$cross/i686-elf-gcc"
ln -s i686-elf-gcc "$cross/i686-elf-cc"
for tool in ar ranlib nm objcopy objdump strip readelf; do
    ln -s "$(command -v $tool)" "$cross/i686-elf-$tool"
done
chmod +x "$cross"/i686-elf-as "$cross"/i686-elf-ld "$cross"/i686-elf-gcc

# --- the library ----------------------------------------------------------------------------
work=$build/newlib-work
log=$build/newlib.log
rm -rf "$work" "$out" && mkdir -p "$work/source" "$work/object"
trap 'echo "newlib.sh: failed, see $log" >&2' EXIT
{
    tar -xf "$source" -C "$work/source" --strip-components=1
    cd "$work/object"
    PATH=$cross:$PATH
    export PATH
    unset MAKEFLAGS MFLAGS MAKEOVERRIDES CFLAGS CPPFLAGS LDFLAGS
    ../source/configure $config --prefix="$work/prefix" MAKEINFO=true CFLAGS_FOR_TARGET="-O2 -g0"
    make -j"$(nproc)" MAKEINFO=true all-target-newlib
    make MAKEINFO=true install-target-newlib
} >"$log" 2>&1
mkdir -p "$out"
mv "$work/prefix/i686-elf/include" "$work/prefix/i686-elf/lib" "$out/"
rm -rf "$work"
echo "$key" >"$out/key"
trap - EXIT

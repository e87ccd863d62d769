#!/bin/sh
# Verifies one signature of a checkpoint with OpenSSL and coreutils alone: that of the log (key type 01) or of a witness (04).
# usage: openssl.sh CHECKPOINT VKEY
set -eu
checkpoint=$1
vkey=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

name=${vkey%%+*}
rest=${vkey#*+}
id=${rest%%+*}
printf '%s' "${rest#*+}" | base64 -d >"$work/typed"
type=$(head -c 1 "$work/typed" | od -An -tx1 | tr -d ' \n')

# The id is the beginning of a hash over name, type and key.
{ printf '%s\n' "$name"; cat "$work/typed"; } | sha256sum | grep -q "^$id" || { echo "the id is another key's" >&2; exit 1; }

# An Ed25519 public key in DER has a constant beginning (RFC 8410).
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; tail -c 32 "$work/typed"; } >"$work/key.der"

# The text ends before the last empty line.
last=$(grep -n '^$' "$checkpoint" | tail -n 1 | cut -d: -f1)
head -n $((last - 1)) "$checkpoint" >"$work/text"

tail -n +$((last + 1)) "$checkpoint" | while read -r dash signer line; do
    [ "$dash" = "—" ] && [ "$signer" = "$name" ] || continue
    printf '%s' "$line" | base64 -d >"$work/line"
    [ "$(head -c 4 "$work/line" | od -An -tx1 | tr -d ' \n')" = "$id" ] || continue
    case $type in
    01)
        tail -c +5 "$work/line" >"$work/signature"
        cp "$work/text" "$work/message"
        ;;
    04)
        tail -c +13 "$work/line" >"$work/signature"
        time=$(printf '%d' "0x$(tail -c +5 "$work/line" | head -c 8 | od -An -tx1 | tr -d ' \n')")
        { printf 'cosignature/v1\ntime %s\n' "$time"; cat "$work/text"; } >"$work/message"
        ;;
    *)
        echo "keys of type $type are not known here" >&2
        exit 1
        ;;
    esac
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$work/message" \
        -sigfile "$work/signature" >/dev/null
    touch "$work/held"
done
[ -e "$work/held" ] || { echo "no signature by $name" >&2; exit 1; }
echo holds

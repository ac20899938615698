# Stores the agent that comes on stdin. Rules as in launch.sh.
# $1 its hash   $2 folder   $3 what unpacks it
umask 077;
H=$1; D=$2/murder/$1; t=$D/.t.$$.$(uname -n);
mkdir -p "$D" || exit 73;
# Homes may be shared by many hosts that store the same file at once: own name, then one rename.
trap "rm -f $t; rmdir $D 2>/dev/null" 0; trap "exit 75" 1 2 15;
$3 > "$t" || exit 74;
chmod 700 "$t";
s=$({ sha256sum "$t" || shasum -a 256 "$t" || openssl dgst -sha256 -r "$t" || "$t" --self-hash; } 2>/dev/null | cut -d" " -f1);
[ "$s" = "$H" ] || { echo "the file arrived with the hash ${s:-none}" >&2; exit 65; };
mv -f "$t" "$D/agent" && echo && echo "MURDER1 STORED"

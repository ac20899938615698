# Starts the agent, or says what is needed. Sent as one line inside single quotes to whatever login shell there is: no single
# quote, no backslash, no exclamation mark, no leading exec; each line ends so that the next may follow after a space.
# $1 folder to try first, or "-"   $2 folders to pass over, ":a:b:"   $3 "Linux.x86_64=HASH ..."   $4 how to become root
umask 077;
U=$(uname -s).$(uname -m); H=;
for p in $3; do if [ "${p%=*}" = "$U" ]; then H=${p#*=}; fi; done;
# Hash of a file.
sum() { { sha256sum "$1" || shasum -a 256 "$1" || openssl dgst -sha256 -r "$1" || "$1" --self-hash; } 2>/dev/null | cut -d" " -f1; };
# Others may have made a folder of our name in a shared place.
own() { [ -O "$1" ] && case $(ls -ld "$1") in drwx------*) ;; *) return 1;; esac; };
I=murder-$(id -u);
A=; for d in "$1" "$XDG_CACHE_HOME" "$HOME/.cache" /var/tmp/$I /tmp/$I /dev/shm/$I "$XDG_RUNTIME_DIR"; do
case $d in *" "*) ;; /*) case $2 in *:$d:*) ;; *) A="$A $d";; esac;; esac; done;
# The agent may be there.
if [ -n "$H" ]; then for d in $A; do
f=$d/murder/$H/agent;
case $d in */$I) own "$d" || continue;; esac;
if [ -x "$f" ] && [ "$(sum "$f")" = "$H" ]; then
# Versions that nobody started for a month go.
touch "$d/murder/$H"; (find "$d/murder" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} + </dev/null >/dev/null 2>&1 &);
echo; echo "MURDER1 AT $f";
case $4 in
ask) exec sudo -S -k -p "" -- env "SSH_CONNECTION=$SSH_CONNECTION" "$f" run;;
free) exec sudo -n -- env "SSH_CONNECTION=$SSH_CONNECTION" "$f" run;;
*) exec "$f" run;;
esac; fi; done; fi;
# A folder that is writable, and where programs may run.
W=; for d in $A; do
case $d in */$I) mkdir -m 700 "$d" 2>/dev/null; own "$d" || continue;; esac;
t=$d/murder/.x.$$;
if mkdir -p "$d/murder" && true > "$t" && chmod 700 "$t" && "$t"; then W=$d; fi 2>/dev/null;
rm -f "$t" 2>/dev/null;
if [ -n "$W" ]; then break; fi;
case $d in */$I) rmdir "$d/murder" "$d" 2>/dev/null;; esac; done;
Z=-; if command -v gzip >/dev/null 2>&1; then Z=gz; fi;
echo; echo "MURDER1 NEED $Z $(uname -s) $(uname -m) ${W:--}"

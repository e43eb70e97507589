# bash completion of nidus: asks nidus itself, which knows its cmdlets, their parameters and the objects there are.
_nidus() {
    local current=${COMP_WORDS[COMP_CWORD]} line
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=()
    if [ "$COMP_CWORD" -gt 1 ]; then
        case ${COMP_WORDS[1]} in
        run | daemon | worker) return ;; # their options take files: -o default
        esac
    fi
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        case $line in
        -* | \$*) COMPREPLY+=("$line") ;;
        *) COMPREPLY+=("$(printf '%q' "$line")") ;;
        esac
    done < <("${COMP_WORDS[0]}" --complete "${words[@]}" 2>/dev/null)
    if [ "$COMP_CWORD" -eq 1 ]; then
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen -W 'run daemon --help --version --json -Command' -- "$current")
    fi
}
complete -o default -o nosort -F _nidus nidus

#compdef vmshadow
# Completion of vmshadow for zsh. The program itself tells what a word may become (vmshadow complete), within a few seconds.

_vmshadow() {
    local also value
    local -a line values names texts
    line=("${(@Q)words[2,CURRENT-1]}" "=${(Q)PREFIX}")
    values=("${(@f)$(${(Q)words[1]} complete -- "${line[@]}" 2>/dev/null)}")
    also=${values[1]:-words}
    for value in "${values[@]:1}"; do
        names+=("${value%%$'\t'*}")
        texts+=("${value%%$'\t'*} -- ${value#*$'\t'}")
    done
    if ((${#names} > 0)); then
        # A name that ends with a sign is followed by its other half.
        if [[ ${#names} == 1 && ${names[1]} == *[=:] ]]; then
            compadd -S '' -l -d texts -a names
        else
            compadd -l -d texts -a names
        fi
    fi
    case $also in
    files) [[ $PREFIX == *=* ]] && compset -P '*='; _files ;;
    directories) [[ $PREFIX == *=* ]] && compset -P '*='; _files -/ ;;
    esac
}

_vmshadow "$@"

# Completion of vmshadow for bash. The program itself tells what a word may become (vmshadow complete), within a few seconds;
# this only takes the line apart in bash's way, and quotes.

# _vmshadow_words: the words of the line up to the cursor, without bash's splitting at = and :, into `words`.
_vmshadow_words() {
    local i word glue=
    words=()
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $glue || $word == [:=]* ]] && ((${#words[@]} > 0)) && [[ -n $glue || $word =~ ^[:=]+$ ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        glue=
        [[ $word =~ ^[:=]+$ ]] && glue=yes
    done
    ((${#words[@]} > 0)) || words=("")
}

# _vmshadow_unquote WORD: as the shell would read it, also when its last quote is still open, into `plain`; nothing in it is expanded.
_vmshadow_unquote() {
    local rest=$1 quote='' character
    plain=
    while [[ -n $rest ]]; do
        character=${rest:0:1}
        rest=${rest:1}
        case $quote$character in
        "''" | '""') quote= ;;
        \'?) plain+=$character ;;
        '"\') [[ $rest == [\"\\\$\`]* ]] || plain+=$character
            plain+=${rest:0:1} rest=${rest:1} ;;
        '"'?) plain+=$character ;;
        "'" | '"') quote=$character ;;
        "\\") plain+=${rest:0:1} rest=${rest:1} ;;
        *) plain+=$character ;;
        esac
    done
}

# _vmshadow_quote VALUE WORD: VALUE in the quoting that the typed WORD has begun, into `quoted`.
_vmshadow_quote() {
    case $2 in
    \'*) quoted=${1//\'/\'\\\'\'} ;;
    \"*)
        quoted=${1//\\/\\\\}
        quoted=${quoted//\"/\\\"}
        quoted=${quoted//\$/\\\$}
        quoted=${quoted//\`/\\\`}
        ;;
    *) printf -v quoted %q "$1" ;;
    esac
}

_vmshadow() {
    local words word plain quoted also value broken=0
    local -a line=() values=()
    _vmshadow_words
    for word in "${words[@]}"; do
        _vmshadow_unquote "$word"
        line+=("$plain")
    done
    line[-1]="=${line[-1]}"
    COMPREPLY=()
    mapfile -t values < <("${COMP_WORDS[0]}" complete -- "${line[@]}" 2>/dev/null)
    also=${values[0]-words}
    # Bash replaces only what stands behind the last = or : of a word without quotes.
    [[ $word == [\'\"]* ]] || { value=${word##*[:=]} && broken=$((${#word} - ${#value})); }
    for value in "${values[@]:1}"; do
        _vmshadow_quote "${value%%$'\t'*}" "$word"
        COMPREPLY+=("${quoted:broken}")
    done
    case $also in
    files) compopt -o default ;;
    directories) compopt -o dirnames ;;
    *) [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace ;;
    esac
}

complete -F _vmshadow vmshadow

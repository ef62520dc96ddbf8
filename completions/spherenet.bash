# shellcheck shell=bash
# bash completion of spherenet. The build puts what `spherenet help --words` prints in place of the marked line.

_spherenet_words() {
    cat <<'END_OF_WORDS'
@WORDS@
END_OF_WORDS
}

# Column $3 of the rows of kind $1 whose first word is $2, where that is given.
_spherenet_rows() {
    _spherenet_words | awk -F '\t' -v kind="$1" -v first="$2" -v column="$3" \
        '$1 == kind && (first == "" || $2 == first) {print $column}'
}

# The keys that go on from $1 by one step, or the values of KEY=.
_spherenet_settings() {
    local word=$1 index=0 key value
    [[ $word =~ \[([0-9]+)\] ]] && index=${BASH_REMATCH[1]}
    if [[ $word == *=* ]]; then
        key=${word%%=*}=
        for value in $(_spherenet_rows key "${key/\[$index\]/[0]}" 3); do
            [[ $value == - ]] || echo "$key$value"
        done
    else
        _spherenet_rows key "" 2 | awk -v index_="[$index]" -v word="$word" '
            BEGIN {match(word, /.*\./); above = RLENGTH > 0 ? RLENGTH : 0}
            {sub(/\[0\]/, index_)}
            index($0, word) == 1 && $0 != word && substr($0, above + 1) !~ /[.]./'
    fi
}

# Files are left to readline, which asks for them where nothing is offered. $2: the word as readline divides words.
_spherenet() {
    local line=${COMP_LINE:0:COMP_POINT} words command word before option="" value="" operands="" candidates=""
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=("")
    command=${words[1]} word=${words[-1]} before=${words[-2]} COMPREPLY=()
    if [[ $word == --*=* ]]; then
        option=${word%%=*} word=${word#*=}
    elif [[ $before == --* ]]; then
        option=$before
    fi
    [[ -n $option ]] && value=$(_spherenet_words |
        awk -F '\t' -v command="$command" -v name="${option#--}" '$1 == "option" && $2 == command && $3 == name {print $4}')
    if ((${#words[@]} <= 2)); then
        [[ $word == -* ]] && candidates="--help --version" || candidates=$(_spherenet_rows command "" 2)
    elif [[ $value == KEY=VALUE ]]; then
        candidates=$(_spherenet_settings "$word")
        if [[ $candidates == *=FILE ]]; then
            candidates=""
        else
            compopt -o nospace +o default
        fi
    elif [[ $value == DIR ]]; then
        compopt -o dirnames +o default
    elif [[ -n $value && $value != - ]]; then
        [[ $value == *"|"* ]] && candidates=${value//|/ }
    elif [[ $word == -* ]]; then
        candidates="$(_spherenet_rows option "$command" 3 | sed 's/^/--/') --help"
    else
        operands=$(_spherenet_rows command "$command" 3)
        # The first operand may be one of some words: "[a|b]" or "a|b FILE".
        ((${#words[@]} == 3)) && candidates=$(sed -n 's/^\[*\([^] ]*|[^] ]*\).*/\1/p' <<<"$operands" | tr '|' ' ')
        candidates=${candidates/COMMAND/$(_spherenet_rows command "" 2)}
    fi
    if [[ $operands == SPEC ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -o plusdirs -f -X '!*.y*ml' -- "$2")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$word")
    # readline takes what is behind the last "=" for the word, as long as that divides words.
    [[ $word == *=* && $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    return 0
}

complete -o default -F _spherenet spherenet

#compdef spherenet
# zsh completion of spherenet. The build puts what `spherenet help --words` prints in place of the marked line.

_spherenet_words() {
    cat <<'END_OF_WORDS'
@WORDS@
END_OF_WORDS
}

# Offers what goes on from $1: keys by one step, or the values of KEY=. $2: what stands before it in the word.
_spherenet_settings() {
    local row key value index=0 above=${1%${1##*.}}
    local -a match columns keys texts whole
    [[ $1 =~ '\[([0-9]+)\]' ]] && index=$match[1]
    for row in ${(f)"$(_spherenet_words)"}; do
        columns=("${(@ps:\t:)row}")
        [[ $columns[1] == key ]] || continue
        key=${columns[2]/\[0\]/[$index]}
        if [[ $key == ${1%%=*}= && $columns[3] == FILE ]]; then
            compset -P '*=' && _files
        elif [[ $1 == *=* && $key == ${1%%=*}= && $columns[3] != - ]]; then
            for value in ${=columns[3]}; do whole+=($2$key$value) texts+=($value); done
        elif [[ $1 != *=* && $key == $above* && ${key#$above} != *.?* && $key != $above ]]; then
            keys+=($2$key) texts+=("$key  -- $columns[4]")
        fi
    done
    (($#whole)) && compadd -d texts -a whole
    (($#keys)) && compadd -S '' -l -d texts -a keys
}

# Column $3 of the rows of kind $1 whose first word is $2, and the one that explains it, as _describe takes them.
_spherenet_described() {
    local row
    local -a columns
    reply=()
    for row in ${(f)"$(_spherenet_words)"}; do
        columns=("${(@ps:\t:)row}")
        [[ $columns[1] == $1 && ($columns[2] == $2 || -z $2) ]] && reply+=("$4$columns[$3]:$columns[-1]")
    done
}

_spherenet() {
    local command=$words[2] word=${(Q)PREFIX} option='' before='' value='' row operands
    local -a reply columns
    if [[ $word == --*=* ]]; then
        option=${word%%=*} before=$option=
    elif [[ $words[CURRENT-1] == --* ]]; then
        option=$words[CURRENT-1]
    fi
    for row in ${(f)"$(_spherenet_words)"}; do
        columns=("${(@ps:\t:)row}")
        [[ $columns[1] == option && $columns[2] == $command && --$columns[3] == $option ]] && value=$columns[4]
        [[ $columns[1] == command && $columns[2] == $command ]] && operands=$columns[3]
    done
    if ((CURRENT == 2)); then
        if [[ $word == -* ]]; then
            compadd -- --help --version
        else
            _spherenet_described command '' 2
            _describe command reply
        fi
    elif [[ $value == KEY=VALUE ]]; then
        _spherenet_settings "${word#$before}" "$before"
    elif [[ $value == *'|'* ]]; then
        compadd -- $before${^${(s:|:)value}}
    elif [[ -n $value && $value != - ]]; then
        [[ -n $before ]] && compset -P "$before"
        case $value in
        DIR) _files -/ ;;
        FILE) _files ;;
        esac
    elif [[ $word == -* ]]; then
        _spherenet_described option "$command" 3 --
        reply+=(--help)
        _describe option reply
    elif [[ $operands == *'|'* && CURRENT -eq 3 ]]; then
        _spherenet_described command '' 2
        operands=${${${operands%% *}#\[}%\]}
        [[ $operands == *COMMAND* ]] && _describe command reply
        compadd -- ${${(s:|:)operands}:#COMMAND}
    elif [[ $operands == SPEC ]]; then
        _files -g '*.(yaml|yml)'
    elif [[ -n $operands ]]; then
        _files
    fi
}

_spherenet "$@"

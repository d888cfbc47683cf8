#compdef cutaway
# Completion of cutaway's words for zsh. The candidates come from `cutaway complete`, which knows them from the same
# definitions as `cutaway --help`.
_cutaway() {
    local -a typed lines plain open
    local kind rest line word
    integer at=$((CURRENT - 2)) first
    typed=("${(@Q)words[2,-1]}")
    typed[CURRENT-1]=${(Q)PREFIX}
    typed=("${(@)typed/#\~\//$HOME/}")
    lines=("${(@f)$(${~words[1]} complete --at $at -- "${(@)typed}" 2>/dev/null)}")
    kind=${lines[1]%% *} rest=${lines[1]#* }
    case $kind in
    words)
        for line in "${(@)lines[2,-1]}"; do
            word=${line%%$'\t'*}
            [[ -n $word ]] || continue
            # In a description, a colon divides the word from its meaning.
            line=${${word//\\/\\\\}//:/\\:}:${line#*$'\t'}
            if [[ $word == *= ]]; then open+=("$line"); else plain+=("${line%:}"); fi
        done
        (( $#plain )) && _describe -t words word plain
        (( $#open )) && _describe -t words word open -S ''
        ;;
    files|directories)
        [[ -z $rest ]] || compset -P "${(b)rest}"
        if [[ $kind == files ]]; then _files; else _files -/; fi
        ;;
    command)
        # The words of another command, which may have a completion of its own.
        first=$((rest + 2))
        words=("${(@)words[first,-1]}")
        (( CURRENT -= first - 1 ))
        _normal
        ;;
    esac
}
if [[ $funcstack[1] == _cutaway ]]; then
    _cutaway "$@"
else
    compdef _cutaway cutaway
fi

# Completion of cutaway's words for bash. It needs no other script. The candidates come from `cutaway complete`, which
# knows them from the same definitions as `cutaway --help`.
_cutaway() {
    local line=$COMP_LINE words=() at=0 index piece glued='' start lines kind rest word
    # Bash also splits words at = and :. Pieces without a space between them are one word.
    for index in "${!COMP_WORDS[@]}"; do
        piece=${COMP_WORDS[index]}
        [[ $glued && $line != [[:space:]]* ]] || { words+=(''); glued=''; }
        line=${line#"${line%%[![:space:]]*}"}
        line=${line#"$piece"}
        # What follows the cursor within its word is not part of it.
        [[ $glued == cursor ]] && continue
        if ((index == COMP_CWORD)); then
            at=$((${#words[@]} - 1)) start=${words[at]} glued=${piece:+cursor}
            [[ $piece == [=:] ]] && start+=$piece
            words[at]=$start$2
        else
            words[${#words[@]} - 1]+=$piece
            glued=$piece
        fi
    done
    for index in "${!words[@]}"; do
        word=${words[index]//[\"\'\\]/}
        [[ $word != '~/'* ]] || word=$HOME/${word:2}
        words[index]=$word
    done
    COMPREPLY=()
    mapfile -t lines < <("${words[0]}" complete --at $((at - 1)) -- "${words[@]:1}" 2>/dev/null)
    ((${#lines[@]})) || return
    kind=${lines[0]%% *} rest=${lines[0]#* }
    case $kind in
    words)
        for word in "${lines[@]:1}"; do
            word=${word%%$'\t'*}
            # Bash replaces only the piece after the last = or :.
            word=${word#"$start"}
            [[ $word != *= ]] || compopt -o nospace
            printf -v word %q "$word"
            COMPREPLY+=("$word")
        done
        ;;
    files | directories)
        # Readline completes files itself, with ~ and quotes, unless they follow a short option without a space.
        if [[ $2 == "$rest"* && $rest ]]; then
            [[ $kind == files ]] && kind=file || kind=directory
            mapfile -t COMPREPLY < <(compgen -P "$rest" -A "$kind" -- "${2#"$rest"}")
        elif [[ $kind == files ]]; then
            compopt -o default
        else
            compopt -o dirnames
        fi
        ;;
    command)
        # The words of another command, which may have a completion of its own.
        for index in "${!COMP_WORDS[@]}"; do
            [[ ${COMP_WORDS[index]} == -- ]] && break
        done
        if declare -F _command_offset >/dev/null; then
            _command_offset $((index + 1))
        elif ((index + 1 == COMP_CWORD)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$2")
        else
            compopt -o default
        fi
        ;;
    esac
}
complete -F _cutaway cutaway

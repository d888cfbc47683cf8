# Completion of cutaway's words for fish. The candidates come from `cutaway complete`, which knows them from the same
# definitions as `cutaway --help`.
function __cutaway_complete
    set -l typed (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $typed[1])
    set -e typed[1]
    set -l at (count $typed)
    set -l current (commandline -ct)
    set -l after (commandline -op)
    for index in (seq (math $at + 1))
        set -e after[1]
    end
    # The word at the cursor is one of them, unless it is empty.
    test -n "$current"; and set -e after[1]
    set -l words (string replace -r '^~/' "$HOME/" -- $typed $current $after)
    set -l lines ($program complete --at $at -- $words 2>/dev/null)
    test (count $lines) -gt 0; or return
    set -l head (string split -m 1 ' ' -- $lines[1])
    set -e lines[1]
    set -l value (string sub -s (math (string length -- "$head[2]") + 1) -- $current)
    switch $head[1]
        case words
            printf '%s\n' $lines
        case files
            for path in (__fish_complete_path "$value")
                printf '%s%s\n' $head[2] $path
            end
        case directories
            for path in (__fish_complete_directories "$value" '')
                printf '%s%s\n' $head[2] $path
            end
        case command
            # The words of another command, which may have a completion of its own.
            set -l first (math $head[2] + 1)
            set -l rest
            if test $first -le $at
                set rest (string escape -- $typed[$first..$at])
            end
            complete -C (string join ' ' -- $rest $current)
    end
end
complete -c cutaway -f -a '(__cutaway_complete)'

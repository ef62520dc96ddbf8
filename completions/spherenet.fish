# fish completion of spherenet. The build puts what `spherenet help --words` prints in place of the marked line.

set -g __spherenet_words '
@WORDS@
'

# Columns $argv[3..] of the rows of kind $argv[1] whose first word is $argv[2], where that is not empty.
function __spherenet_rows
    for row in (string split \n -- $__spherenet_words)
        set -l columns (string split \t -- $row)
        if test "$columns[1]" = $argv[1]; and contains -- $argv[2] '' $columns[2]
            string join \t -- $columns[$argv[3..-1]]
        end
    end
end

# As fish offers them for commands that it does not know.
function __spherenet_files
    complete -C "'' $argv[1]"
end

# What goes on from $argv[1]: keys by one step, or the values of KEY=. $argv[2]: what stands before it in the word.
function __spherenet_settings
    set -l index (string match -r '\[[0-9]+\]' -- $argv[1]; or echo '[0]')
    set -l above (string match -r '.*\.' -- $argv[1]; or echo '')
    set -l assigned (string match -r '^[^=]*=' -- $argv[1])
    for row in (__spherenet_rows key '' 2 3 4)
        set -l columns (string split \t -- (string replace '[0]' $index -- $row))
        set -l rest (string sub -s (math 1 + (string length -- "$above")) -- $columns[1])
        if test "$assigned" = $columns[1] -a $columns[2] = FILE
            string replace -r '^' -- "$argv[2]$assigned" (__spherenet_files (string replace -- $assigned '' $argv[1]))
        else if test -n "$assigned"
            if test $columns[1] = $assigned -a $columns[2] != -
                string join \n -- "$argv[2]"$columns[1](string split ' ' -- $columns[2])
            end
        else if test "$above$rest" = $columns[1] -a -n "$rest"; and not string match -q '*.?*' -- $rest
            printf '%s%s\t%s\n' "$argv[2]" $columns[1] $columns[3]
        end
    end
end

function __spherenet_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l option $words[-1]
    set -l before (string match -r '^--[a-z-]+=' -- $word)
    test -n "$before"; and set option (string trim -r -c = -- $before)
    if test (count $words) = 1
        string match -q -- '-*' $word; and string join \n -- --help --version; or __spherenet_rows command '' 2 4
        return
    end
    set -l operands (__spherenet_rows command $words[2] 3)
    set -l value
    for row in (__spherenet_rows option $words[2] 3 4)
        string match -q -- (string sub -s 3 -- $option)\t'*' $row; and set value (string split \t -- $row)[2]
    end
    if test "$value" = KEY=VALUE
        __spherenet_settings (string replace -- "$before" '' $word) "$before"
    else if string match -q '*|*' -- "$value"
        string join \n -- "$before"(string split '|' -- $value)
    else if test "$value" = DIR
        __fish_complete_directories $word
    else if test "$value" = FILE
        __spherenet_files $word
    else if string match -q -- '-*' $word
        string replace -r '^' -- -- (__spherenet_rows option $words[2] 3 5) help
    else if string match -q '*|*' -- "$operands"; and test (count $words) = 2
        set -l names (string split '|' -- (string trim -c '[]' -- (string replace -r ' .*' '' -- $operands)))
        contains COMMAND $names; and __spherenet_rows command '' 2 4
        string match -v COMMAND -- $names
    else if test "$operands" = SPEC
        __spherenet_files $word | string match -r '.*(?:/|\.ya?ml)(?:\t.*)?$'
    else if test -n "$operands"
        __spherenet_files $word
    end
end

complete -c spherenet -f -a '(__spherenet_complete)'

# The table of `run`, from lines of `ROUND ROW KEY VALUE`. Ratios are taken within a round, and the medians
# of all rounds are shown; the echo of a round is the mean of its runs.

function median(row, key,    n, i, j, v, sorted) {
    n = 0
    for (i = 1; i <= rounds; i++) {
        v = value(i, row, key)
        for (j = n++; j > 0 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function value(round, row, key) {
    if (key == "p99/echo") return mean(round, row, "p99") / mean(round, row, "echo_p99")
    if (sub("/echo$", "", key)) return mean(round, row, key) / mean(round, "echo", key)
    return mean(round, row, key)
}

function mean(round, row, key) { return sums[round, row, key] / counts[round, row, key] }

{
    sums[$1, $2, $3] += $4
    counts[$1, $2, $3]++
    totals[$2, $3] += $4
    if ($1 > rounds) rounds = $1
    if (!($2 in seen)) { seen[$2]; rows[++n_rows] = $2 }
    if ($2 == "echo") {
        if (!(("least", $3) in range) || $4 < range["least", $3]) range["least", $3] = $4
        if (!(("most", $3) in range) || $4 > range["most", $3]) range["most", $3] = $4
    }
}

END {
    print "| server | answers/s | ÷ echo | CPU µs/answer | ÷ echo | p50 µs | p99 µs | echo's p99 | p99 ÷ echo |" \
        " lost | wrong | MiB |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n_rows; i++) {
        row = rows[i]
        name = row
        gsub("_", " ", name)
        printf "| %s | %d | %.2f | %.2f | %.2f |", name, median(row, "qps"), median(row, "qps/echo"), \
            median(row, "cpu"), median(row, "cpu/echo")
        if (row == "echo") printf " | | | |"
        else printf " %.0f | %.0f | %.0f | %.2f |", median(row, "p50"), median(row, "p99"), \
            median(row, "echo_p99"), median(row, "p99/echo")
        printf " %.3f %% | %d |", 100 * totals[row, "lost"] / totals[row, "sent"], totals[row, "wrong"]
        if (row == "echo") print " |"
        else printf " %d |\n", median(row, "memory")
    }
    printf "\nThe echo, loaded at most: %d to %d answers/s, %.2f to %.2f µs of CPU.\n", range["least", "qps"], \
        range["most", "qps"], range["least", "cpu"], range["most", "cpu"]
}

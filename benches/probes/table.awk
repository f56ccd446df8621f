# The table of `run`, from lines of `WANTED CHECKER RATE PROBES CPU_MS MS MIB LATE`: the medians of all rounds,
# and the sum of late probes.

function median(row, key,    i, j, v, n, sorted) {
    n = counts[row]
    for (i = 1; i <= n; i++) {
        v = values[row, key, i]
        for (j = i - 1; j > 0 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

{
    row = $1 " " $2
    if (!counts[row]++) rows[++n_rows] = row
    i = counts[row]
    values[row, "rate", i] = $3
    values[row, "cpu", i] = $5 * 1000 / $4
    values[row, "busy", i] = 100 * $5 / $6
    values[row, "memory", i] = $7
    late[row] += $8
}

END {
    print "| checker | probes/s asked for | made | CPU µs/probe | of a core | MiB | late |"
    print "|---|---|---|---|---|---|---|"
    for (i = 1; i <= n_rows; i++) {
        split(rows[i], field)
        printf "| %s | %s | %d | %.1f | %.0f %% | %.0f | %s |\n", field[2], field[1] ? field[1] : "", \
            median(rows[i], "rate"), median(rows[i], "cpu"), median(rows[i], "busy"), median(rows[i], "memory"), \
            field[2] ~ /^(meridian|before)$/ ? late[rows[i]] : ""
    }
}

# Reads `WHO KEY VALUE` lines and prints the table: medians and, in brackets, the least and the most.
# Variables: connections, idle, rate.
{
    n[$1, $2]++
    value[$1, $2, n[$1, $2]] = $3
}

function sorted(who, key, i, j, t) {
    count = n[who, key]
    for (i = 1; i <= count; i++) v[i] = value[who, key, i] + 0
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    low = v[1]
    high = v[count]
    return count % 2 ? v[(count + 1) / 2] : (v[count / 2] + v[count / 2 + 1]) / 2
}

function cell(who, key, format) {
    middle = ""
    if (!((who, key) in n)) return "-"
    middle = sorted(who, key)
    return count == 1 ? sprintf(format, middle) : sprintf(format " (" format "-" format ")", middle, low, high)
}

# target: ">=N" or "<=N" of ours, "x>=N" of the ratio; several with blanks between.
function verdict(target, ours, ratio, parts, k, i, number, have, word) {
    k = split(target, parts, " ")
    word = k == 0 ? "" : "met"
    for (i = 1; i <= k; i++) {
        number = parts[i]
        gsub(/^x?[<>]=/, "", number)
        have = parts[i] ~ /^x/ ? ratio : ours
        if (have == "" || (parts[i] ~ />=/ ? have < number + 0 : have > number + 0)) word = "MISSED"
    }
    return word
}

# their: the key of their column, if it is another one.
function row(words, key, format, target, their, ours, theirs, a, a_low, a_high, many, ratio, mark) {
    ours = cell("ours", key, format)
    a = middle; a_low = low; a_high = high; many = count > 1
    theirs = cell("theirs", their == "" ? key : their, format)
    ratio = a == "" || middle == "" || middle == 0 ? "" : a / middle
    mark = ratio != "" && many && count > 1 && a_low <= high && low <= a_high ? "?" : " "
    printf "%-52s %26s %26s %6s%s  %-16s %s\n", words, ours, theirs, ratio == "" ? "-" : sprintf("%.2f", ratio), mark, target, verdict(target, a, ratio)
}

END {
    printf "%-52s %26s %26s %6s   %s\n", "median (least-most); ?: the ranges overlap", "ours", "mosquitto", "ratio", "target"
    row("messages a second, 10 values, " connections " connections", "messages_10", "%.0f", ">=100000 x>=0.7")
    row("messages a second, 1 value", "messages_1", "%.0f", "")
    row("  CPU a message, 10 values, us: the server alone", "cpu_10", "%.1f", "")
    row("  with PostgreSQL", "cpu_all_10", "%.1f", "")
    row("  CPU a message, 1 value, us: the server alone", "cpu_1", "%.1f", "")
    row("  with PostgreSQL", "cpu_all_1", "%.1f", "")
    row("  the generator itself, 10 values", "generator_10", "%.1f", "")
    row("PUBACK at " rate " messages a second: p50, ms", "p50", "%.2f", "<=5")
    row("  p99, ms", "p99", "%.2f", "<=25")
    row("  maximum, ms", "max", "%.2f", "")
    row("memory of an idle TLS connection, KiB (" idle ")", "idle", "%.1f", "<=14")
    row("  with a client certificate", "idle_mutual", "%.1f", "<=18")
    row("connections a second, full TLS handshake", "full", "%.0f", "x>=1")
    row("  resumed, against resumed", "resumed", "%.0f", "")
    row("  resumed, against full", "resumed", "%.0f", "x>=3", "full")
    row("  CPU of the server, us: full", "cpu_full", "%.0f", "")
    row("  resumed", "cpu_resumed", "%.0f", "")
    row("  CPU with PostgreSQL, us: full", "cpu_all_full", "%.0f", "")
    row("  resumed", "cpu_all_resumed", "%.0f", "")
    row("  CPU of the generator, us: full", "generator_full", "%.0f", "")
    row("  resumed", "generator_resumed", "%.0f", "")
    row("bytes on disk for a value, 10 a message", "bytes_10", "%.1f", "<=25")
    row("  1 a message", "bytes_1", "%.1f", "")
    printf "\n%-52s %26s %26s %6s   %s\n", "", "ours", "psql's \\copy", "ratio", "target"
    row("rows a second, 10 values, everything running", "messages_10", "%.0f", "x>=0.35", "copy")
    row("  the store alone", "store", "%.0f", "x>=0.8", "copy_store")
}

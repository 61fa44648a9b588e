/**
 * What stands in the way of a measurement that falls short of its gate, as found by profiling; printed on the
 * benchmarks page beside each one that does. Keys are names of measurements, or what they begin with. Pure data.
 */

export const limits: Readonly<Record<string, string>> = {
  'ingest-throughput':
    'The server’s one JavaScript thread: a third of it scans and checks events, a third looks ids up and writes frames, the rest is sockets and garbage collection. Generator, engine and server share the cores.',
  'latency-50k':
    'The middle is far below the gate; what is above it comes while the tail of the flood before is sealed, merged and moved to the lake: with two cores that worker and the engine’s own seal take turns with ticks, and the log’s sync waits for some of what the worker wrote.',
  'latency-under-heavy-sql':
    'Six clients ask without pause; one statement runs at a time, but on two cores it shares them with server, engine and generator.',
  'ten-views': 'Each view has a fold query of its own in every tick.',
  'lookups-1m-groups':
    'Lookups that wait together are gathered into one query, but that query and the ticks of 20,000 events/s share one engine process, and the engine, the server, two generators and the lookups’ HTTP share two cores.',
  top20:
    'A top 20 is not kept: it is chosen anew from the merged image of a million groups and what changed since, on cores that ticks use too.',
  'memory-flat':
    'Memory is that of the merged image, the tail, and the dedupe window, which grow until a seal and a merge; a short run sees one swing of it.',
  restart:
    'Reading the dedupe window back and folding the tail again come one after the other before the first answer.',
  'bulk-fold-ratio': 'The fold also sorts its partial rows and writes them as a synced Parquet file.',
  'replay-rate':
    'A fold takes about a seventh more than the plain query for the positions that it records and for the slice that it sorts and syncs. What is still text in the hot log, about a twentieth of the events, is read at a quarter of the rate, and the plain query reads none of it: a batch, whose events are all in the lake, folds at 0.95 of the plain rate. That a build stands behind live work in the scheduler’s order costs nothing that could be measured.',
  'replay-lag': 'A build takes every core that is free, and is stopped only once the lag is over its limit.',
  'typescript-live':
    'DuckDB reads the new events out of JSON and hands them to the fold’s thread as texts, which are parsed once more; what the functions made of them comes back as lines that DuckDB reads again. In bulk, where Parquet is read and keys are divided among threads, the same fold is over its gate.',
  'replay-distinct':
    'Groups and distinct values are folded in one pass, but with the positions of the events, and the distinct values are kept as rows that later ones can be merged with; what is still text in the hot log is read at a quarter of the rate.',
  'hot-catch-up':
    'The time includes starting the engine’s process and opening DuckDB, a fifth of a second; reading JSON text is the rest.',
}

export function limitOf(name: string): string | undefined {
  const key = Object.keys(limits).find((one) => name === one || name.startsWith(`${one}/`))
  return key === undefined ? undefined : limits[key]
}

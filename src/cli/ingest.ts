/**
 * `refold ingest FILE --stream S`: sends a file of events in its order, batch after batch, and says how it goes. May
 * be stopped at any moment and run again without losing or doubling anything; `ingest-progress.ts` says why. State:
 * the run's counters.
 */

import { realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { type Client, openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions, wholeNumber } from './command-options.ts'
import { type Batch, type EventFile, openEventFile, readEventInput } from './event-file.ts'
import { exitCodes } from './exit-codes.ts'
import { createIngestMeter, type IngestMeter, reportIngest } from './ingest-meter.ts'
import {
  batchKey,
  type IngestProgress,
  newProgress,
  progressPath,
  readProgress,
  writeProgress,
} from './ingest-progress.ts'
import { type IngestAnswer, RejectionSummary, sendBatch } from './send-batch.ts'
import type { Cli } from './terminal.ts'

interface IngestOptions extends ServerOptions {
  readonly stream: string
  readonly batch?: number
  readonly rate?: number
  readonly progress?: string
  readonly restart?: boolean
  readonly patience: number
}

const defaultBatch = 5_000
const saveEveryMs = 250

export function ingestCommand(cli: Cli): Command {
  const command = new Command('ingest')
    .description(
      'send a file of events (NDJSON, plain or gzip, or Parquet); run it again to go on after a stop',
    )
    .argument('<file>', 'the file, or "-" for NDJSON on stdin')
    .requiredOption('--stream <name>', 'the stream')
    .option('--batch <events>', `events in one request (default: ${defaultBatch})`, wholeNumber(1, 100_000))
    .option('--rate <events>', 'at most so many events a second', wholeNumber(1))
    .option('--restart', 'forget how far the file was sent before and begin at its first event')
    .option('--progress <path>', 'where to keep how far it got (default: FILE.STREAM.refold-ingest)')
    .option('--patience <seconds>', 'how long to wait for a server that is gone or full', wholeNumber(0), 60)
  addServerOptions(command)
    .option('--json', 'print the outcome, one JSON object')
    .action((file: string, options: IngestOptions) => runIngest(cli, file, options))
  return addExamples(command, [
    { does: 'a file of events', run: 'refold ingest events/orders.ndjson --stream orders' },
    { does: 'Parquet, gently', run: 'refold ingest history.parquet --stream orders --rate 20000' },
    { does: 'what another program prints', run: 'zcat old/*.gz | refold ingest - --stream orders' },
  ])
}

/** One run, from one source into one stream. */
interface Run {
  readonly cli: Cli
  readonly client: Client
  readonly options: IngestOptions
  readonly stream: StreamDef
  /** Undefined for stdin. */
  readonly progressFile: string | undefined
  progress: IngestProgress
  cut: number | undefined
  readonly meter: IngestMeter
  readonly rejections: RejectionSummary
  /** Aborted by a second Ctrl-C. */
  readonly abort: AbortController
  /** Aborted by the first: the batch on its way is still waited for. */
  readonly stop: AbortController
}

async function runIngest(cli: Cli, fileArgument: string, options: IngestOptions): Promise<void> {
  const client = openClient(options, cli.env)
  const stop = new AbortController()
  const abort = new AbortController()
  const removeStop = cli.onStop(() => (stop.signal.aborted ? abort.abort() : stop.abort()))
  try {
    const stream = await findStream(client, options.stream)
    const source = fileArgument === '-' ? undefined : resolve(cli.cwd, fileArgument)
    const file = source === undefined ? undefined : await openEventFile(source, shapeOf(stream))
    const path = source === undefined ? `stdin ${process.pid} ${Date.now()}` : await realpath(source)
    const progressFile =
      source === undefined
        ? undefined
        : resolve(cli.cwd, options.progress ?? progressPath(source, stream.name))
    const begun = newProgress(stream.name, path, options.batch ?? batchFor(options))
    const found =
      progressFile === undefined || options.restart === true ? undefined : await readProgress(progressFile)
    const progress =
      found === undefined || file === undefined
        ? begun
        : await resumed(found, file, fileArgument, client, options)
    const run: Run = {
      cli,
      client,
      options,
      stream,
      progressFile,
      progress,
      cut: undefined,
      meter: createIngestMeter(cli.terminal, fileArgument, stream.name),
      rejections: new RejectionSummary(),
      abort,
      stop,
    }
    if (progress.position > 0) run.meter.note(`goes on after line ${progress.line - 1}`)
    await sendAll(run, file)
    await reportIngest(cli, run.meter, {
      file: fileArgument,
      stream: stream.name,
      progress: run.progress,
      cut: run.cut,
      rejections: run.rejections.list(),
      stopped: stop.signal.aborted,
      json: options.json === true,
    })
    if (stop.signal.aborted) cli.exitCode = exitCodes.stopped.code
    else if (run.progress.rejected > 0 || run.meter.unfinishedLine !== undefined) {
      cli.exitCode = exitCodes.partial.code
    }
  } finally {
    removeStop()
    client.close()
  }
}

/** Smaller batches where a low rate was asked for, so that events flow instead of coming in bursts. */
function batchFor(options: IngestOptions): number {
  return options.rate === undefined
    ? defaultBatch
    : Math.max(1, Math.min(defaultBatch, Math.ceil(options.rate / 5)))
}

async function sendAll(run: Run, file: EventFile | undefined): Promise<void> {
  const { progress, stop } = run
  const batches =
    file === undefined
      ? readEventInput(run.cli.stdin, progress.batch)
      : file.batches({
          position: progress.position,
          line: progress.line,
          events: progress.batch,
          firstEnd: progress.sending ?? undefined,
          onUnfinishedLine: (line) => run.meter.unfinished(line),
        })
  let savedMs = performance.now()
  let next = batches.next()
  // The next batch is read while this one is on its way. Its failure is met when it is awaited.
  next.catch(() => {})
  try {
    while (!stop.signal.aborted) {
      const step = await next
      if (step.done === true) break
      const batch = step.value
      next = batches.next()
      next.catch(() => {})
      await run.meter.pace(batch.events, run.options.rate, stop.signal)
      if (stop.signal.aborted) break
      await sendOne(run, batch, file)
      if (performance.now() - savedMs > saveEveryMs) {
        await save(run)
        savedMs = performance.now()
      }
    }
  } finally {
    await save(run)
    if (stop.signal.aborted && file === undefined) run.cli.stdin.destroy()
    else await next.then(() => batches.return()).catch(() => {})
  }
}

async function sendOne(run: Run, batch: Batch, file: EventFile | undefined): Promise<void> {
  const { progress } = run
  let answer: IngestAnswer = { accepted: 0, duplicates: 0, rejected: [], cut: run.cut ?? 0 }
  if (batch.events > 0) {
    if (batch.events < progress.batch && progress.sending !== batch.to) {
      run.progress = { ...run.progress, sending: batch.to }
      await save(run)
    }
    answer = await sendBatch(batch.body, {
      client: run.client,
      stream: run.stream.name,
      key: run.stream.id == null ? batchKey(progress.source, batch.from, batch.body) : undefined,
      patienceMs: run.options.patience * 1_000,
      signal: run.abort.signal,
      onWait: (reason, delayMs) => run.meter.waiting(reason, delayMs),
      sleep: (delayMs) => run.meter.sleep(delayMs, run.abort.signal),
      nowMs: () => performance.now(),
    })
    run.cut = answer.cut
  }
  for (const rejection of answer.rejected) run.rejections.add(rejection, batch.lineOf(rejection.index))
  const fingerprinted = Math.min(batch.to, fingerprintBytes)
  run.progress = {
    ...run.progress,
    position: batch.to,
    line: batch.lineAfter,
    sending: null,
    accepted: progress.accepted + answer.accepted,
    duplicates: progress.duplicates + answer.duplicates,
    rejected: progress.rejected + answer.rejected.length,
    log:
      progress.log ??
      (answer.accepted + answer.duplicates > 0 ? await firstEvent(run.client, run.stream.name) : null),
    ...(file === undefined || fingerprinted === progress.fingerprinted
      ? {}
      : { fingerprinted, fingerprint: await file.fingerprint(fingerprinted) }),
  }
  run.meter.sent(batch, answer)
}

const fingerprintBytes = 64 * 1024

async function save(run: Run): Promise<void> {
  if (run.progressFile !== undefined) await writeProgress(run.progressFile, run.progress)
}

async function resumed(
  progress: IngestProgress,
  file: EventFile,
  name: string,
  client: Client,
  options: IngestOptions,
): Promise<IngestProgress> {
  if (
    progress.fingerprinted > 0 &&
    (await file.fingerprint(progress.fingerprinted)) !== progress.fingerprint
  ) {
    throw new RefoldError(
      'CLI_FILE_CHANGED',
      `file "${name}" is not the one that was sent before: it begins otherwise`,
    )
  }
  if (progress.log !== null && progress.log !== (await firstEvent(client, options.stream))) {
    const sent = `${progress.line - 1} lines of "${name}" were sent before, but not to the log behind this server`
    throw new RefoldError('CLI_FILE_CHANGED', sent)
  }
  return progress
}

/** Commit and time of the stream's first event: two logs that agree here are one. */
async function firstEvent(client: Client, stream: string): Promise<string | null> {
  const text = await client.text({
    path: `/v1/streams/${encodeURIComponent(stream)}/events`,
    query: { from: 'cut:0', limit: '1' },
  })
  if (text.trim() === '') return null
  const event = JSON.parse(text.split('\n')[0]!) as { commit: number; time: string }
  return `${event.commit} ${event.time}`
}

async function findStream(client: Client, name: string): Promise<StreamDef> {
  const { streams } = JSON.parse(await client.text({ path: '/v1/streams' })) as {
    streams: readonly StreamDef[]
  }
  const stream = streams.find((one) => one.name === name)
  if (stream !== undefined) return stream
  const names = streams.map((one) => one.name)
  const nearest = nearestName(name, names)
  throw new RefoldError('STREAM_UNKNOWN', `there is no stream "${name}"`, {
    hint: nearest === undefined ? `The streams are: ${names.join(', ')}.` : `Did you mean "${nearest}"?`,
  })
}

/** How the stream's schema wants values of Parquet columns. */
function shapeOf(stream: StreamDef): Parameters<typeof openEventFile>[1] {
  const names = (wanted: (field: StreamDef['schema']['fields'][number]) => boolean): ReadonlySet<string> =>
    new Set(stream.schema.fields.filter(wanted).map((field) => field.name))
  return {
    nullable: names((field) => field.nullable),
    asNumber: names((field) => field.type.kind === 'double' || field.type.kind === 'integer'),
    asText: names((field) => field.type.kind === 'string'),
  }
}

/**
 * Replays under live input: how fast `refold deploy` folds all of history for changed views while events arrive,
 * against the plain DuckDB query over the same Parquet files under the same input; what a second replay of the same
 * version costs; a deploy with nothing to do; and the memory of the workers. The real server and CLI. No state.
 */

import { fork, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { descendantsOf } from '../scripts/refold-process.ts'
import { root } from '../scripts/steps.ts'
import type { DeployInfo } from '../src/deploy/types.ts'
import type { FoldTask, FoldTime } from './fold-runner.ts'
import { atLeast, atMost, type BenchContext, type Measurement, type Suite } from './measurement.ts'
import { median, quantiles } from './quantiles.ts'
import { Stand, userStats } from './stand.ts'
import type { Workload } from './workload.ts'

export const replaySuite: Suite = {
  names: ['replay-rate', 'replay-distinct', 'replay-tail', 'replay-lag', 'replay-memory', 'deploy-unchanged'],
  run: measureReplays,
}

const bulk: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 1000 }
const small: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 200 }
const LIVE_RATE = 20_000
const LAG_LIMIT_MS = 1_000
const ENGINE_MEMORY = 2_000_000_000

/** The view before and after a change of its logic that costs a fold nothing; another number is another version. */
const changed = (
  number: number,
) => `SELECT user_id, count(*) + ${number} AS total_events, sum(revenue) AS total_revenue
FROM events GROUP BY user_id`
const sessions = (number: number) =>
  `SELECT user_id, count(DISTINCT session_id) + ${number} AS sessions FROM events GROUP BY user_id`

async function* measureReplays(context: BenchContext): AsyncIterable<Measurement> {
  const events = context.quick ? 4_000_000 : 20_000_000
  const stand = await Stand.open({ name: 'replay', views: { user_stats: userStats }, dedupeCount: 1_000_000 })
  try {
    context.say(`a history of ${events} events`)
    await stand.fill(bulk, events)
    // What is left in the hot log is one open segment, and in a quick run what is too young to move.
    await untilInLake(stand, context.quick ? events * 0.7 : events - 900_000)
    const live = liveInput(stand)
    const watch = watchServer(stand)
    context.say('replays of counts and sums')
    yield await rateOf(stand, {
      name: 'replay-rate',
      least: 0.8,
      rounds: context.quick ? 1 : 5,
      views: (round) => ({ user_stats: changed(round + 1) }),
      plain: 'SELECT user_id, count(*), sum(revenue) FROM events GROUP BY user_id',
    })
    context.say('a replay of an exact distinct')
    yield await rateOf(stand, {
      name: 'replay-distinct',
      least: 0.5,
      rounds: context.quick ? 1 : 3,
      views: (round) => ({ user_stats: userStats, sessions: sessions(round) }),
      plain: 'SELECT user_id, count(DISTINCT session_id) FROM events GROUP BY user_id',
    })
    yield* watch.stop()
    await live.stop()
    yield await replayOfTail(context, stand)
    yield await deployUnchanged(stand, events)
    context.say('comparing the views with plain DuckDB')
    await stand.mustAgree()
  } finally {
    await stand.close()
  }
}

interface RateOrder {
  readonly name: string
  readonly least: number
  readonly rounds: number
  /** The project's views in each round; one of them has a version that was never built. */
  readonly views: (round: number) => Readonly<Record<string, string>>
  /** The same question to plain DuckDB, over "events". */
  readonly plain: string
}

/**
 * A build and the plain query in turn, both while events arrive; the rates' ratio, median of the rounds. The query is
 * timed from the start of its process; the build as the server times it, whose worker starts while the deploy is planned.
 */
async function rateOf(stand: Stand, order: RateOrder): Promise<Measurement> {
  const ratios: number[] = []
  const builds: number[] = []
  const plains: number[] = []
  const warmPlains: number[] = []
  for (let round = 0; round < order.rounds; round += 1) {
    const plain = await plainRate(stand, order.plain)
    stand.setViews(order.views(round))
    const { events = 0, seconds = 1 } = (await deploy(stand)).outcome ?? {}
    ratios.push(events / seconds / plain.rate)
    builds.push(events / seconds)
    plains.push(plain.rate)
    warmPlains.push(plain.warmRate)
  }
  const millions = (rates: readonly number[]) => `${(median(rates) / 1e6).toFixed(1)} M events/s`
  return {
    name: order.name,
    value: Math.round(median(ratios) * 100) / 100,
    unit: 'times',
    gate: atLeast(order.least),
    method:
      `the build of a deploy over the plain DuckDB query on the same lake, in turn, both while ${LIVE_RATE} events/s ` +
      `arrive, median of ${order.rounds}: build ${millions(builds)}, from giving the range to a worker that was started while the deploy was planned, ` +
      `with the hot log and with sorted and synced slices; plain ${millions(plains)} from the start of its process, ${millions(warmPlains)} without that start`,
  }
}

export async function plainRate(
  stand: Stand,
  sql: string,
): Promise<{ readonly rate: number; readonly warmRate: number }> {
  const answer = await stand.sql('SELECT path, rows FROM refold.lake_files')
  const { rows } = JSON.parse(answer) as { readonly rows: readonly { path: string; rows: number }[] }
  const files = rows.map(({ path: file }) => `'${file}'`).join(', ')
  const task: FoldTask = {
    kind: 'plain',
    sql: sql.replace('FROM events', `FROM read_parquet([${files}])`),
    threads: availableParallelism(),
    memoryBytes: ENGINE_MEMORY,
  }
  const startedMs = performance.now()
  const child = fork(path.join(root, 'bench/fold-runner.ts'), { execArgv: [] })
  const [seconds, warmSeconds] = await new Promise<readonly [number, number]>((resolve, reject) => {
    child.once('message', (time: FoldTime) => resolve([(performance.now() - startedMs) / 1000, time.seconds]))
    child.once('exit', (code) => reject(new Error(`the plain query ended with ${code}`)))
    child.send(task)
  })
  const events = rows.reduce((sum, file) => sum + Number(file.rows), 0)
  return { rate: events / seconds, warmRate: events / warmSeconds }
}

/** Runs `refold deploy` on the stand's project to its end. */
async function deploy(stand: Stand, ...options: string[]): Promise<DeployInfo> {
  const lines = await refold(stand, 'deploy', '--yes', '--json', ...options)
  const last = JSON.parse(lines.at(-1) ?? '{}') as DeployInfo
  if (last.state !== 'live' && last.state !== 'shadow') {
    throw new Error(`the deploy ended as ${last.state}: ${last.reason ?? stand.server.output()}`)
  }
  return last
}

/** Lines of the command's output. */
function refold(stand: Stand, ...args: string[]): Promise<readonly string[]> {
  const main = path.join(root, 'src/cli/main.ts')
  const env = { ...process.env, REFOLD_URL: stand.server.url }
  const child = spawn(process.execPath, [main, ...args], {
    cwd: stand.folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let talk = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')))
  child.stderr.on('data', (chunk: Buffer) => (talk += chunk.toString('utf8')))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(output.trimEnd().split('\n'))
      else reject(new Error(`refold ${args.join(' ')} ended with ${code}: ${talk}`))
    })
  })
}

/** A version that was built once is asked for again after more events came. */
async function replayOfTail(context: BenchContext, stand: Stand): Promise<Measurement> {
  const added = context.quick ? 1_000_000 : 2_000_000
  context.say(`a second replay, after ${added} more events`)
  stand.setViews({ user_stats: changed(1000), sessions: sessions(0) })
  const first = await deploy(stand, '--shadow')
  await refold(stand, 'deploys', 'cancel', String(first.id), '--json')
  await stand.fill(bulk, added)
  const second = await deploy(stand)
  const folded = second.outcome?.events ?? 0
  return {
    name: 'replay-tail',
    value: Math.round((folded / added) * 100) / 100,
    unit: 'times',
    gate: atMost(1.2),
    method:
      `events folded by the second replay of one version over the ${added} that came since the first: ` +
      `${folded} in ${second.outcome?.seconds.toFixed(2)} s; the first folded ${first.outcome?.events} in ${first.outcome?.seconds.toFixed(2)} s`,
  }
}

async function deployUnchanged(stand: Stand, events: number): Promise<Measurement> {
  const seconds: number[] = []
  for (let round = 0; round < 3; round += 1) {
    const startedMs = performance.now()
    await refold(stand, 'deploy', '--yes')
    seconds.push((performance.now() - startedMs) / 1000)
  }
  return {
    name: 'deploy-unchanged',
    value: Math.round(median(seconds) * 100) / 100,
    unit: 's',
    gate: atMost(2),
    method: `\`refold deploy\` of a project that is deployed already, from its start to its end, ${events} events of history, median of 3`,
  }
}

/** Keeps events arriving until it is stopped. */
export function liveInput(stand: Stand): { stop(): Promise<void> } {
  let stopped = false
  const work = async () => {
    while (!stopped) {
      await stand.order({
        kind: 'paced',
        workload: small,
        connections: 16,
        eventsPerSecond: LIVE_RATE,
        warmupSeconds: 0,
        seconds: 8,
        probeEvery: 0,
      })
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    stop: () => {
      stopped = true
      return done
    },
  }
}

/** Samples lag of live views and memory of workers until it is stopped, which gives what was seen. */
function watchServer(stand: Stand): { stop(): AsyncIterable<Measurement> } {
  const lags: number[] = []
  let peakBytes = 0
  let stopped = false
  const server = stand.server.child.pid ?? 0
  const work = async () => {
    while (!stopped) {
      const status = JSON.parse(await stand.get('/v1/status')) as StatusLags
      lags.push(Math.max(0, ...status.views.filter((view) => view.serving).map((view) => view.lagMs)))
      peakBytes = Math.max(peakBytes, ...descendantsOf(server).map(workerPeak))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    async *stop() {
      stopped = true
      await done
      const { count, p50, p99, max } = quantiles(lags)
      yield {
        name: 'replay-lag',
        value: Math.round(max),
        unit: 'ms',
        gate: atMost(LAG_LIMIT_MS),
        method: `the greatest of ${count} samples of the live views' lag while all this ran; p50 ${p50.toFixed(0)}, p99 ${p99.toFixed(0)} ms; the replay's lag limit is ${LAG_LIMIT_MS} ms`,
      }
      const limit = ENGINE_MEMORY / 2
      yield {
        name: 'replay-memory',
        value: Math.round((peakBytes / limit) * 100) / 100,
        unit: 'times',
        gate: atMost(1.25),
        method: `greatest resident memory of a worker, ${Math.round(peakBytes / 1e6)} MB, over the limit that its engine is given, ${limit / 1e6} MB`,
      }
    },
  }
}

interface StatusLags {
  readonly views: readonly { readonly serving: boolean; readonly lagMs: number }[]
}

/** The greatest resident memory that a worker process had, in bytes; 0 for other processes. */
function workerPeak(pid: number): number {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/engine/worker')) return 0
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Number(peak?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Waits until the lake holds so many rows, so that a replay and the plain query read the same files. */
export async function untilInLake(stand: Stand, rows: number): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const status = JSON.parse(await stand.get('/v1/status')) as { readonly lake: { readonly rows: number } }
    if (status.lake.rows >= rows) return
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  throw new Error('the log did not move to the lake')
}

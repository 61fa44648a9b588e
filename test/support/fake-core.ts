/**
 * A core in memory for tests of the HTTP surface: two streams, one view, computed anew at each read. It shares
 * nothing with the engine or the log. State: the events and dead letters taken so far, and what each method was
 * called with. Any method can be replaced, to fail or to wait.
 */

import { EventEmitter, once } from 'node:events'
import type { DeployInfo } from '../../src/deploy/types.ts'
import type { AppendRequest, AppendResult, LogEvent } from '../../src/log/types.ts'
import { RefoldError } from '../../src/model/errors.ts'
import type { Field, FieldType, StreamDef } from '../../src/model/schema.ts'
import type { AnswerMeta, Core, EventsRequest, ViewDelta, ViewInfo } from '../../src/serve/core.ts'
import type { BatchInfo } from '../../src/serve/core-batches.ts'

export const fakeVersion = 'a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90'
const startMs = Date.UTC(2026, 0, 1)

function field(name: string, type: FieldType, more: Partial<Field> = {}): Field {
  return { name, type, optional: false, nullable: false, ...more }
}

const common = { partitions: 4, dedupe: { timeMs: 86_400_000, count: 1000 }, latenessMs: 0 }

export const orders: StreamDef = {
  name: 'orders',
  schema: {
    kind: 'object',
    fields: [
      field('order_id', { kind: 'string' }),
      field('user_id', { kind: 'string' }),
      field('amount', { kind: 'decimal', precision: 18, scale: 2 }),
      field('units', { kind: 'integer', bits: 64 }, { optional: true }),
      field('at', { kind: 'timestamp' }),
    ],
  },
  id: 'order_id',
  key: 'user_id',
  time: 'at',
  ...common,
}

/** Neither id nor key nor time. */
export const clicks: StreamDef = {
  name: 'clicks',
  schema: {
    kind: 'object',
    fields: [field('page', { kind: 'string' }), field('more', { kind: 'json' }, { optional: true })],
  },
  ...common,
}

export const columns = [
  { name: 'user_id', type: 'VARCHAR' },
  { name: 'orders', type: 'BIGINT' },
  { name: 'total', type: 'DECIMAL(38,2)' },
] as const

export const deployInfo: DeployInfo = {
  id: 7,
  state: 'live',
  author: { who: 'ada' },
  options: {
    shadow: false,
    from: { kind: 'zero' },
    budget: { lagMs: 1_000 },
    warmMs: 1_000,
    autoRollback: { checks: true },
  },
  plan: { cut: 3, streams: [], views: [], empty: true },
  views: [],
  checks: [],
  createdMs: 1,
  changedMs: 2,
}

function pauseInfo(view: string, reason: string) {
  return { view, version: fakeVersion, reason, at: '2026-01-01T00:00:00.000Z', answers: 'refuse' } as const
}

export const batchInfo: BatchInfo = {
  ...{ id: 4, view: 'totals', version: fakeVersion, state: 'published', cut: 5, from: 3 },
  promise: { offsets: { orders: [2, 0, 1, 0] }, watermarks: { orders: '2026-01-01T00:00:00Z' } },
  ...{ events: 3, foldMs: 7, divergence: 0, reason: null },
  startedAt: '2026-01-01T00:00:01.000Z',
  endedAt: '2026-01-01T00:00:02.000Z',
}

export interface FakeCore extends Core {
  readonly requests: AppendRequest[]
  readonly events_: LogEvent[]
  readonly calls: { readonly method: string; readonly arguments: readonly unknown[] }[]
  /** How many followers wait for events now. */
  waiting(): number
}

export function createFakeCore(replace: Partial<Core> = {}): FakeCore {
  const state = createState()
  const calls: FakeCore['calls'][number][] = []
  const noted = <A extends readonly unknown[], R>(method: string, body: (...args: A) => R) =>
    ((...args: A) => {
      calls.push({ method, arguments: args })
      return body(...args)
    }) as (...args: A) => R
  const streams = [orders, clicks]
  const core: Core = {
    streams: () => streams,
    stream: (name) => streams.find((stream) => stream.name === name),
    views: noted('views', () => [viewInfo(state)]),
    append: async (request) => state.append(request),
    readView: noted('readView', async (request) => {
      let rows = totals(state.events)
      for (const [name, value] of Object.entries(request.where)) {
        rows = rows.filter((row) => String(row[name as keyof Total]) === value)
      }
      const json = rowsJson(rows.slice(0, request.limit))
      return { ...meta(state), columns, json, count: rows.length, truncated: rows.length > request.limit }
    }),
    sql: noted('sql', async () => ({
      ...meta(state),
      columns: [{ name: 'n', type: 'BIGINT' }],
      json: `[{"n":${state.events.length}}]`,
      count: 1,
      truncated: false,
    })),
    pastCost: noted('pastCost', async ({ view }) => ({
      ...{ view, version: fakeVersion, cut: 5, events: 7, bytes: 700, basis: 'default' as const },
      slices: { files: 1, rows: 2, bytes: 30, through: 4 },
      seconds: { low: 0, likely: 1, high: 2 },
    })),
    changes: noted('changes', (_view, options) => state.changes(options)),
    events: noted('events', (request) => state.read(request)),
    plan: async () => ({ cut: state.cut(), streams: [], views: [], empty: true }),
    explain: async (view) => ({ view, stages: [] }),
    divergence: noted('divergence', () => []),
    pauses: {
      list: noted('pauses.list', () => []),
      pause: noted('pauses.pause', async (view, reason) => pauseInfo(view, reason)),
      resume: noted('pauses.resume', async (view) => [pauseInfo(view, 'a test')]),
    },
    verify: {
      last: noted('verify.last', () => []),
      run: noted('verify.run', async () => []),
    },
    dead: {
      causes: noted('dead.causes', async () => []),
      list: noted('dead.list', async () => []),
      show: noted('dead.show', async (id) => {
        throw new RefoldError('DEAD_LETTER_UNKNOWN', `there is no dead letter "${id}"`)
      }),
      send: noted('dead.send', async () => ({ cut: null, results: [] })),
      drop: noted('dead.drop', async (letters) => letters.length),
    },
    batches: {
      list: noted('batches.list', (view) => [{ ...batchInfo, view }]),
      run: noted('batches.run', async (view) => ({ ...batchInfo, view })),
    },
    checks: {
      list: noted('checks.list', () => []),
      run: noted('checks.run', async () => []),
    },
    lake: {
      list: noted('lake.list', () => ({ streams: [] })),
      check: noted('lake.check', async () => ({ through: 0, files: 0, bytes: 0, rows: 0, faults: [] })),
      trim: noted('lake.trim', async (request) => ({
        ...{ stream: request.stream, cut: 0, files: 0, events: 0, bytes: 0, needs: [], done: false },
      })),
      backup: noted('lake.backup', async function* () {
        yield { kind: 'end' }
      }),
    },
    late: {
      list: noted('late.list', async ({ view }) => ({
        ...{ view, version: 'v', late: 'hold' as const, cut: state.cut(), lateCut: 0, held: 0, total: 0 },
        events: [],
      })),
    },
    compare: {
      versions: noted('compare.versions', async ({ view }) => ({
        ...{ view, from: 'old', to: 'new', cut: state.cut(), pairing: 'key' as const, key: [], shape: [] },
        ...{ oldRows: 0, newRows: 0, equal: 0, changed: 0, added: 0, removed: 0, columns: [] },
        ...{ causes: { unexplained: 0, expected: 0, events: 0, logic: 0 }, expectations: [] },
        ...{ folded: false, sample: [] },
      })),
      rowEvents: noted('compare.rowEvents', async ({ view, key }) => ({
        ...{ view, version: 'v', cut: state.cut(), key, total: state.events.length, events: state.events },
        next: { commit: 3, index: 1 },
      })),
      why: noted('compare.why', async ({ view }) => ({
        ...{ view, from: { at: null, cut: 0, version: 'v' }, to: { at: null, cut: 0, version: 'v' } },
        ...{ watermark: null, lateEvents: 0, newEvents: 0, key: [], totals: [], rows: [], truncated: false },
        rowCount: { first: '0', late: '0', arrived: '0', logic: '0', last: '0' },
      })),
    },
    deploys: {
      deploy: noted('deploys.deploy', async () => deployInfo),
      list: noted('deploys.list', () => [deployInfo]),
      show: noted('deploys.show', () => deployInfo),
      watch: noted('deploys.watch', async function* () {
        yield deployInfo
      }),
      pause: noted('deploys.pause', () => deployInfo),
      resume: noted('deploys.resume', () => deployInfo),
      accept: noted('deploys.accept', () => deployInfo),
      cancel: noted('deploys.cancel', async () => deployInfo),
      rollback: noted('deploys.rollback', async () => deployInfo),
    },
    status: async () => ({ cut: state.cut(), events: state.events.length }),
    probe: async () => {},
    metrics: async () => [
      {
        name: 'refold_cut',
        help: 'Newest durable cut.',
        type: 'gauge',
        samples: [{ labels: {}, value: state.cut() }],
      },
    ],
  }
  return {
    ...core,
    ...replace,
    requests: state.requests,
    events_: state.events,
    calls,
    waiting: () => state.arrived.listenerCount('commit'),
  }
}

interface State {
  readonly requests: AppendRequest[]
  readonly events: LogEvent[]
  readonly arrived: EventEmitter
  cut(): number
  append(request: AppendRequest): AppendResult
  read(request: EventsRequest): AsyncGenerator<LogEvent>
  changes(options: { from?: number; follow: boolean; signal?: AbortSignal }): AsyncGenerator<ViewDelta>
}

function createState(): State {
  const requests: AppendRequest[] = []
  const events: LogEvent[] = []
  const ids = new Map<string, { readonly json: string; readonly commit: number }>()
  const arrived = new EventEmitter()
  arrived.setMaxListeners(0)
  const commit = () => requests.length
  const append = (request: AppendRequest): AppendResult => {
    requests.push(request)
    let accepted = 0
    let duplicates = 0
    const conflicts: { index: number; id: string }[] = []
    for (const { stream, partition, json, id, index } of request.events) {
      const before = id === undefined ? undefined : ids.get(`${stream} ${id}`)
      if (before !== undefined) {
        if (before.json === json) duplicates++
        else conflicts.push({ index, id: id! })
        continue
      }
      if (id !== undefined) ids.set(`${stream} ${id}`, { json, commit: commit() })
      const offset = events.filter((other) => other.stream === stream && other.partition === partition).length
      const place = { commit: commit(), index: accepted++, stream, partition, offset }
      events.push({ ...place, timeMs: startMs + commit() * 1000, json })
    }
    queueMicrotask(() => arrived.emit('commit'))
    return { cut: commit(), accepted, duplicates, conflicts }
  }
  return {
    requests,
    events,
    arrived,
    cut: commit,
    append,
    read: (request) => readLog(events, arrived, request),
    changes: (options) => readDeltas(events, arrived, commit, options),
  }
}

async function* readLog(
  events: readonly LogEvent[],
  arrived: EventEmitter,
  request: EventsRequest,
): AsyncGenerator<LogEvent> {
  const { stream, partition, from, to, limit = Number.POSITIVE_INFINITY, follow, signal } = request
  let sent = 0
  for (let at = 0; ; at++) {
    while (at >= events.length) {
      if (!follow || signal?.aborted) return
      try {
        await once(arrived, 'commit', signal === undefined ? {} : { signal })
      } catch {
        return
      }
    }
    const event = events[at]!
    if (event.stream !== stream || (partition !== undefined && event.partition !== partition)) continue
    if (from?.kind === 'cut' && event.commit <= from.commit) continue
    if (from?.kind === 'offset' && event.offset < from.offset) continue
    if (from?.kind === 'time' && event.timeMs < from.timeMs) continue
    if (to?.kind === 'cut' && event.commit > to.commit) continue
    if (to?.kind === 'offset' && event.offset >= to.offset) continue
    if (to?.kind === 'time' && event.timeMs >= to.timeMs) continue
    yield event
    if (++sent >= limit) return
  }
}

async function* readDeltas(
  events: readonly LogEvent[],
  arrived: EventEmitter,
  cut: () => number,
  { from, follow, signal }: { from?: number; follow: boolean; signal?: AbortSignal },
): AsyncGenerator<ViewDelta> {
  for (let last = from ?? 0, first = true; ; first = false) {
    const now = cut()
    if (now > last || (first && from === undefined)) {
      const old = totals(events.filter((event) => event.commit <= last))
      const changes = totals(events).flatMap((row) => {
        const before = old.find((other) => other.user_id === row.user_id)
        if (before === undefined) return [`{"op":"insert","new":${rowJson(row)}}`]
        if (rowJson(before) === rowJson(row)) return []
        return [`{"op":"update","old":${rowJson(before)},"new":${rowJson(row)}}`]
      })
      const json = `[${changes.join(',')}]`
      yield { from: last, to: now, columns, json, count: changes.length, version: fakeVersion }
      last = now
    }
    if (!follow || signal?.aborted) return
    if (cut() > last) continue
    try {
      await once(arrived, 'commit', signal === undefined ? {} : { signal })
    } catch {
      return
    }
  }
}

interface Total {
  readonly user_id: string
  readonly orders: bigint
  readonly total: string
}

function totals(events: readonly LogEvent[]): Total[] {
  const cents = new Map<string, { orders: bigint; cents: bigint }>()
  for (const event of events) {
    if (event.stream !== 'orders') continue
    const { user_id: user, amount } = JSON.parse(event.json) as { user_id: string; amount: string }
    const [whole = '0', fraction = ''] = amount.split('.')
    const entry = cents.get(user) ?? { orders: 0n, cents: 0n }
    const value = BigInt(whole) * 100n + BigInt(fraction.padEnd(2, '0'))
    cents.set(user, { orders: entry.orders + 1n, cents: entry.cents + value })
  }
  return [...cents].map(([user, entry]) => ({
    user_id: user,
    orders: entry.orders,
    total: `${entry.cents / 100n}.${String(entry.cents % 100n).padStart(2, '0')}`,
  }))
}

function rowJson(row: Total): string {
  return `{"user_id":${JSON.stringify(row.user_id)},"orders":${row.orders},"total":"${row.total}"}`
}

function rowsJson(rows: readonly Total[]): string {
  return `[${rows.map(rowJson).join(',')}]`
}

function viewInfo(state: State): ViewInfo {
  return {
    name: 'user_totals',
    version: fakeVersion,
    sql: 'SELECT user_id, count(*) AS orders, sum(amount) AS total FROM orders GROUP BY user_id',
    columns,
    state: 'live',
    cut: state.cut(),
  }
}

function meta(state: State): AnswerMeta {
  return {
    cut: state.cut(),
    versions: { user_totals: fakeVersion },
    watermarks: { orders: null },
    lagMs: 0,
    at: '2026-01-01T00:00:00.000001Z',
    stalled: {},
  }
}

/** An error as the engine or the log would throw it. */
export function failWith(...args: ConstructorParameters<typeof RefoldError>): () => never {
  return () => {
    throw new RefoldError(...args)
  }
}

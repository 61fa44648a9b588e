/**
 * One history of a log for tests: steps are done to it, to its files and to its clock, and after each the files are
 * compared with the naive log. State: the log under test, the double of its disk, and the naive log beside it.
 *
 * A commit found on the disk must be made of the requests that were answered with it, in the order they were sent,
 * wholly; or, if nobody was answered, of some in a row that have no answer or were told that it is unknown.
 */

import assert from 'node:assert/strict'
import { basename } from 'node:path'
import { RefoldError } from '../model/errors.ts'
import type { StreamDef } from '../model/schema.ts'
import { type EffectKind, FaultyFiles } from '../std/faulty-files.ts'
import { ManualClock } from '../std/manual-clock.ts'
import { type CommitLog, openCommitLog } from './commit-log.ts'
import type { CrashPoint } from './crash-point.ts'
import { LogCursor } from './log-cursor.ts'
import { difference, NaiveLog, type NaiveRequest, type NaiveStream, readNaively } from './naive-log.ts'
import type { AppendRequest, AppendResult } from './types.ts'

const DIR = '/data/log'
const SEED = '000102030405060708090a0b0c0d0e0f'

export const streams: readonly NaiveStream[] = [
  { name: 'orders', partitions: 3, count: 6, timeMs: 5000, latenessMs: 2, hasIdField: true },
  { name: 'clicks', partitions: 1, count: 1000, timeMs: 400, latenessMs: 0, hasIdField: false },
  { name: 'plain é', partitions: 2, count: 3, timeMs: 1e9, latenessMs: 0, hasIdField: true },
]

function defOf(stream: NaiveStream): StreamDef {
  return {
    name: stream.name,
    schema: { kind: 'object', fields: [] },
    partitions: stream.partitions,
    dedupe: { timeMs: stream.timeMs, count: stream.count },
    latenessMs: stream.latenessMs,
    ...(stream.hasIdField ? { id: 'id' } : {}),
  }
}

export type Step =
  | { readonly kind: 'send'; readonly requests: readonly NaiveRequest[] }
  | { readonly kind: 'again'; readonly back: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'clock back' }
  | { readonly kind: 'roll' }
  | { readonly kind: 'drop'; readonly back: number }
  | { readonly kind: 'fault'; readonly effect: EffectKind; readonly after: number; readonly errno: string }
  | { readonly kind: 'full'; readonly bytes: number; readonly on: EffectKind }
  | { readonly kind: 'space' }
  | { readonly kind: 'short'; readonly bytes: number }
  | { readonly kind: 'crash at'; readonly point: CrashPoint; readonly after: number; readonly power: boolean }
  | { readonly kind: 'crash'; readonly power: boolean }
  | { readonly kind: 'reopen' }
  /** Killed in the middle of a frame; or of a segment's first line. */
  | { readonly kind: 'torn' }
  | { readonly kind: 'torn segment' }

/** How often each crash point was hit, by all histories. */
export const hits = new Map<CrashPoint, number>()

interface Sent {
  readonly request: NaiveRequest
  answer: AppendResult | undefined
  error: unknown
}

export class History {
  readonly #settings: { segmentBytes: number; frameBytes: number; sidecarEntries: number }
  readonly #naive = new NaiveLog(streams)
  readonly #clock = new ManualClock(1_000_000)
  #files: FaultyFiles
  #log: CommitLog | undefined
  /** Sent since the last verified commit, in order. */
  #sent: Sent[] = []
  readonly #past: NaiveRequest[] = []
  #crash: { point: CrashPoint; after: number } | undefined
  #isCrashed = false
  #power = false

  constructor(
    settings: { segmentBytes: number; frameBytes: number; sidecarEntries: number },
    choose: (count: number) => number,
  ) {
    this.#settings = settings
    this.#files = new FaultyFiles(choose)
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case 'send':
        return await this.#send(step.requests)
      case 'again': {
        const request = this.#past.at(-1 - step.back)
        return request === undefined ? undefined : await this.#send([request, request])
      }
      case 'wait':
        this.#clock.advance(step.ms)
        return await this.#settle([])
      case 'clock back':
        return this.#clock.set(this.#clock.nowMs() - 700)
      case 'roll':
        return await this.#settle([this.#log!.roll().catch(onlyRefold)])
      case 'drop': {
        const through = Math.max(0, this.#naive.commits.length - step.back)
        return await this.#settle([this.#log!.drop(through).catch(onlyRefold)])
      }
      case 'fault': {
        let after = step.after
        this.#files.fault = ({ kind }) => {
          if (kind !== step.effect || after-- > 0) return undefined
          this.#files.fault = () => undefined
          return { kind: 'error', errno: step.errno, bytes: 20 }
        }
        return
      }
      case 'full':
        this.#files.fault = ({ kind }) =>
          kind === step.on ? { kind: 'error', errno: 'ENOSPC', bytes: step.bytes } : undefined
        return
      case 'space':
        this.#files.fault = () => undefined
        this.#clock.advance(10_000)
        return await this.#settle([])
      case 'short':
        this.#files.fault = ({ kind }) =>
          kind === 'write' ? { kind: 'short', bytes: step.bytes } : undefined
        return
      case 'crash at':
        this.#crash = { point: step.point, after: step.after }
        this.#power = step.power
        return
      case 'crash':
        this.#power = step.power
        this.#files.crash()
        this.#isCrashed = true
        return await this.#restart()
      case 'torn':
      case 'torn segment': {
        const { segments } = this.#log!.manifest()
        const active = segments.at(-1)!
        const isFrame = step.kind === 'torn'
        const path = isFrame ? active.path : `${DIR}/${String(active.number + 1).padStart(12, '0')}.ndjson`
        const torn = Buffer.from(isFrame ? `{"commit":${active.last + 1},"t":1` : '{"segment":')
        this.#files.crash()
        this.#isCrashed = true
        this.#power = false
        this.#files = this.#files.afterKill()
        this.#files.place(path, Buffer.concat([this.#files.contents(path) ?? Buffer.alloc(0), torn]))
        return await this.open()
      }
      case 'reopen':
        await this.#settle([this.#log!.close().catch(onlyRefold)])
        if (!this.#isCrashed) await this.open()
        return
    }
  }

  async finish(): Promise<void> {
    this.#crash = undefined
    this.#files.fault = () => undefined
    this.#clock.advance(20_000)
    await this.#settle([])
    // The log works after all that: the last requests are answered.
    const request: NaiveRequest = {
      stream: 'orders',
      events: [{ partition: 0, json: `{"id":"last"}`, id: 'last' }],
      dead: [],
    }
    const sent = this.#append(request)
    await this.#settle([sent.done])
    assert.equal(sent.entry.error, undefined)
    await this.#verify()
    await this.#log!.close()
  }

  /** Opens, as often as needed: a start may fail for the disk's reasons and crash itself, but never finds damage. */
  async open(): Promise<void> {
    for (let tries = 0; ; tries++) {
      if (tries > 3) this.#files.fault = () => undefined
      if (tries > 6) this.#crash = undefined
      this.#isCrashed = false
      const opening = openCommitLog({
        dir: DIR,
        lostFoundDir: '/data/lost+found',
        streams: streams.map(defOf),
        files: this.#files,
        clock: this.#clock,
        limits: this.#settings,
        journaled: this.#naive.commits.length,
        dedupeSeed: SEED,
        crash: (point) => this.#reach(point),
      }).catch((error: unknown) => {
        onlyRefold(error)
        return undefined
      })
      const log = await Promise.race([opening, this.#files.crashed.then(() => 'crashed' as const)])
      if (log === 'crashed')
        this.#files = this.#power ? this.#files.afterPowerLoss() : this.#files.afterKill()
      else if (log !== undefined) {
        this.#log = log
        await Promise.race([this.#verify(), this.#files.crashed])
        if (!this.#isCrashed) return
        this.#files = this.#power ? this.#files.afterPowerLoss() : this.#files.afterKill()
      }
    }
  }

  #reach(point: CrashPoint): void {
    if (this.#crash?.point !== point || this.#crash.after-- > 0) return
    this.#crash = undefined
    hits.set(point, (hits.get(point) ?? 0) + 1)
    this.#isCrashed = true
    this.#files.crash()
  }

  async #send(requests: readonly NaiveRequest[]): Promise<void> {
    const sent = requests.map((request) => this.#append(request).done)
    await this.#settle(sent)
  }

  #append(request: NaiveRequest): { entry: Sent; done: Promise<void> } {
    const entry: Sent = { request, answer: undefined, error: undefined }
    this.#sent.push(entry)
    this.#past.push(request)
    const done = this.#log!.append(appendOf(request)).then(
      (answer) => {
        entry.answer = answer
      },
      (error: unknown) => {
        onlyRefold(error)
        entry.error = error
      },
    )
    return { entry, done }
  }

  /** Waits for these and for the log to come to rest, or to a crash. */
  async #settle(tasks: readonly Promise<unknown>[]): Promise<void> {
    await Promise.race([Promise.all(tasks), this.#files.crashed])
    for (let i = 0; i < 3 && !this.#isCrashed; i++) await new Promise((resolve) => setImmediate(resolve))
    // A crash may come from work in the background at any time, while things are compared too.
    if (!this.#isCrashed) await Promise.race([this.#verify(), this.#files.crashed])
    if (this.#isCrashed) await this.#restart()
  }

  async #restart(): Promise<void> {
    this.#files = this.#power ? this.#files.afterPowerLoss() : this.#files.afterKill()
    await this.open()
  }

  /** Takes what is new in the files into the naive log, and compares everything. */
  async #verify(): Promise<void> {
    const log = this.#log!
    const manifest = log.manifest()
    const names = this.#files.paths().filter((path) => /\/\d{12}\.ndjson$/.test(path))
    const listed = manifest.segments.map((info) => basename(info.path))
    const files = manifest.segments.map((info) => this.#files.contents(info.path)!.subarray(0, info.bytes))
    assert.ok(names.length >= listed.length)
    const found = readNaively(files)
    for (const commit of found) {
      if (commit.header.commit <= this.#naive.commits.length) {
        const problem = difference(commit, this.#naive.commits[commit.header.commit - 1]!)
        assert.equal(problem, undefined)
      } else this.#explain(commit)
    }
    assert.equal(manifest.durable, this.#naive.commits.length, 'the durable cut')
    assert.ok(
      this.#sent.every((entry) => entry.answer === undefined),
      'every acknowledged request is in a commit',
    )
    this.#compareState()
    await this.#compareReader()
  }

  /** Finds the requests that make up the commit: those answered with it, or some in a row without an answer. */
  #explain(found: ReturnType<typeof readNaively>[number]): void {
    const { commit, t } = found.header
    assert.ok(t >= (this.#naive.commits.at(-1)?.timeMs ?? 0), 'time never goes back')
    const answered = this.#sent.filter((entry) => entry.answer?.cut === commit)
    const problems: (string | undefined)[] = []
    const candidates: Sent[][] = []
    if (answered.length > 0) candidates.push(answered)
    else {
      const open = this.#sent.filter((entry) => entry.answer === undefined)
      for (let from = 0; from < open.length; from++) {
        for (let to = from + 1; to <= open.length; to++) candidates.push(open.slice(from, to))
      }
    }
    for (const entries of candidates) {
      const predicted = this.#naive.predict(
        entries.map((entry) => entry.request),
        t,
      )
      const problem = difference(found, predicted.made)
      problems.push(problem)
      if (problem !== undefined) continue
      for (const [i, { answer }] of entries.entries()) {
        if (answer === undefined) continue
        const { accepted, duplicates, conflicts } = answer
        const got = { accepted, duplicates, conflicts: conflicts.length }
        assert.deepEqual(got, predicted.answers[i], `answer in commit ${commit}`)
      }
      this.#naive.add(predicted)
      this.#sent = this.#sent.filter((entry) => !entries.includes(entry))
      return
    }
    assert.fail(`commit ${commit} is not what was asked for: ${problems.join('; ')}`)
  }

  #compareState(): void {
    const state = this.#log!.state()
    const last = this.#naive.commits.at(-1)
    assert.equal(state.cut.commit, last?.commit ?? 0)
    for (const { name, partitions } of streams) {
      const [accepted, duplicate, rejected] = last?.counts[name] ?? [0, 0, 0]
      assert.deepEqual(state.counts[name], { accepted, duplicate, rejected })
      assert.deepEqual(state.cut.offsets[name], last?.offsets[name] ?? new Array(partitions).fill(0))
      assert.equal(state.watermarksUs[name], last?.watermarks[name])
      assert.equal(state.late[name] ?? 0, last?.late[name] ?? 0, 'late events')
    }
  }

  async #compareReader(): Promise<void> {
    const log = this.#log!
    const { fault } = this.#files
    this.#files.fault = () => undefined
    const manifest = log.manifest()
    const base = manifest.segments[0]!.base
    const expected = this.#naive.commits.slice(base)
    const got: unknown[] = []
    for await (const event of log.reader.events(manifest, { from: base, to: manifest.durable })) {
      const { commit, index, stream, partition, offset, json } = event
      got.push({ commit, index, stream, partition, offset, json })
    }
    assert.deepEqual(
      got,
      expected.flatMap((commit) => commit.events),
    )
    const middle = base + ((manifest.durable - base) >> 1)
    const ranges = new LogCursor(await log.locate(middle)).advance(manifest)
    const bytes = ranges.map(({ path, start, end }) =>
      this.#files.contents(path)!.subarray(start, end).toString(),
    )
    const headers = bytes
      .join('')
      .split('\n')
      .filter((line) => line.startsWith('{"commit":'))
    assert.deepEqual(
      headers.map((line) => JSON.parse(line).commit),
      this.#naive.commits.slice(middle).map((commit) => commit.commit),
    )
    this.#files.fault = fault
  }
}

function appendOf({ stream, events, dead }: NaiveRequest): AppendRequest {
  return {
    stream,
    events: events.map((event, index) => ({ stream, index, ...event })),
    deadLetters: dead.map(({ code, raw }, index) => ({
      stream,
      index: events.length + index,
      code,
      reason: 'a reason',
      place: '/x',
      raw,
    })),
    bytes: 100,
  }
}

/** Failures of the disk are part of the game; damage and bugs are not. */
function onlyRefold(error: unknown): void {
  if (error instanceof RefoldError && (error.code === 'LOG_FAILED' || error.code === 'LOG_FULL')) return
  throw error
}

/**
 * Runs the functions of one fold over events, inside the thread that they live in. State: the states of the keys at
 * hand, each as the value that `step` works on and as the text that was written for it last.
 *
 * Events come in batches: `begin` takes the rows of one and says of which keys it needs the states, `run` steps
 * through it, `flush` writes the partial rows of what was touched since the last flush. An event on which `step` fails
 * may have changed the state already, so its key is stepped again from the text of the last flush, with a copy of the
 * state before each event: the event is left out, and nothing of it stays. The same is done where `finish` fails: then
 * the event after which it does is the one that is left out.
 *
 * Why the result does not depend on how events are divided into batches: a state is a function of the key's events in
 * order alone, and what memory keeps of a key is what its text says (`state-value.ts`).
 */

import type { FoldFunctions } from '../../define/fold.ts'
import { userStack, userText } from '../../define/logic-modules.ts'
import type { Field } from '../../model/schema.ts'
import type { CodeFold } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'
import { type EventBatch, NULL_TEXT, type OpenBatch, openBatch } from './event-batch.ts'
import { compileEvents, type EventObject } from './event-rows.ts'
import { type Progress, phases } from './fold-progress.ts'
import type { FoldFailure } from './fold-protocol.ts'
import { keyReader, rowsWriter, stateText } from './fold-shape.ts'
import { PositionSum } from './position-sum.ts'
import { checkState } from './state-value.ts'

/** How much of the thread's memory the states at hand may take. */
const CACHE_SHARE = 0.4
/** Memory of an entry beside its text and state. */
const ENTRY_BYTES = 400

/** Where an event stands. */
type Position = readonly [commit: number, index: number]

interface Entry {
  /** The key's values as DuckDB gives them, as texts; they go back like that. */
  readonly raw: readonly unknown[]
  readonly key: unknown
  state: unknown
  /** The state at the last flush; undefined: as `init` gives it. */
  text: string | undefined
  /** The text of a flush that is not committed. */
  flushed: string | undefined
  touched: boolean
  /** A function failed: the events since the last flush are to be stepped again. */
  failed: 'step' | 'finish' | undefined
  readonly positions: PositionSum
}

export interface Flushed {
  /** One line for each partial row. */
  readonly lines: string
  readonly rows: number
}

export class FoldSteps {
  readonly #code: CodeFold
  readonly #functions: FoldFunctions
  readonly #progress: Progress
  readonly #eventOf: (columns: OpenBatch['columns'], row: number) => EventObject
  readonly #keyColumns: readonly number[]
  readonly #keyOf: (raw: readonly unknown[]) => unknown
  readonly #writeRows: (given: unknown) => string
  readonly #initText: string
  readonly #bytesMax: number
  readonly #entries = new Map<unknown, Entry>()
  #touched: Entry[] = []
  #batch: OpenBatch = noEvents
  /** By row of the batch. */
  #ofRow: Entry[] = []
  #missing: Entry[] = []
  #failures: FoldFailure[] = []
  /** No key has a state that is not here. */
  #complete = false
  #bytes = 0

  constructor(
    code: CodeFold,
    fields: readonly Field[],
    functions: FoldFunctions,
    progress: Progress,
    memoryBytes: number,
  ) {
    this.#code = code
    this.#functions = functions
    this.#progress = progress
    this.#eventOf = compileEvents(fields)
    this.#keyColumns = code.keys.map((name) => fields.findIndex((field) => field.name === name))
    this.#keyOf = keyReader(this.#keyColumns.map((column) => must(fields[column], 'the key is read')))
    this.#writeRows = rowsWriter(code.row, code.several)
    this.#bytesMax = Math.floor(memoryBytes * CACHE_SHARE)
    this.#initText = stateText(this.#freshInit(), code.merges)
  }

  /** Takes the states of all keys that have one; none needs to be asked for then. */
  giveAll(states: readonly (readonly unknown[])[]): void {
    for (const row of states) {
      const raw = row.slice(0, -1)
      const id = this.#idOfRaw(raw)
      if (!this.#entries.has(id)) this.#take(this.#newEntry(id, raw), row)
    }
    this.#complete = true
  }

  /** Takes the events of a batch, and gives the keys whose states it needs. */
  begin(given: EventBatch): readonly (readonly unknown[])[] {
    const batch = openBatch(given)
    this.#batch = batch
    this.#missing = []
    this.#ofRow = []
    const wants = !this.#complete && !this.#code.merges
    for (let row = 0; row < batch.count; row++) {
      const id = this.#idOf(batch, row)
      let entry = this.#entries.get(id)
      if (entry === undefined) {
        entry = this.#newEntry(id, this.#rawOf(batch, row))
        if (wants) this.#missing.push(entry)
        else entry.state = this.#fresh()
      }
      this.#ofRow.push(entry)
    }
    return this.#missing.map(({ raw }) => raw)
  }

  /** The states that were asked for, as `[…key, text]`; keys that are left out have none yet. */
  give(states: readonly (readonly unknown[])[]): void {
    for (const row of states) {
      const raw = row.slice(0, -1)
      const entry = this.#entries.get(this.#idOfRaw(raw))
      if (entry !== undefined && entry.state === undefined) this.#take(entry, row)
    }
    for (const entry of this.#missing) if (entry.text === undefined) entry.state = this.#fresh()
    this.#missing = []
  }

  #take(entry: Entry, row: readonly unknown[]): void {
    const text = String(row.at(-1))
    entry.text = text
    entry.state = JSON.parse(text)
    this.#bytes += 3 * text.length
  }

  /** Steps through the batch that was begun; events in `skipped` (`commit:index`) are left out. */
  run(skipped: ReadonlySet<string>): void {
    const { step } = this.#functions
    const progress = this.#progress
    const hasSkips = skipped.size > 0
    const { count, commits, indexes, columns, order } = this.#batch
    for (let at = 0; at < count; at++) {
      const row = order === undefined ? at : (order[at] ?? 0)
      const entry = must(this.#ofRow[row], 'every event of the batch has its entry')
      if (!entry.touched) {
        entry.touched = true
        this.#touched.push(entry)
      }
      const commit = commits[row] ?? 0
      const index = indexes[row] ?? 0
      if (entry.failed !== undefined || (hasSkips && skipped.has(`${commit}:${index}`))) continue
      progress.enter(phases.step, commit, index)
      try {
        const state = step(entry.state, this.#eventOf(columns, row), { key: entry.key, commit, index })
        checkState(state)
        entry.state = state
        entry.positions.add(commit, index)
      } catch {
        entry.failed = 'step'
      }
    }
    progress.leave()
  }

  /** So much is kept that it should be flushed and committed, which lets go of some. */
  get isFull(): boolean {
    return this.#bytes > this.#bytesMax
  }

  /** The keys on which a function has failed, for their events since the last flush. */
  failedKeys(): readonly (readonly unknown[])[] {
    return this.#touched.filter(({ failed }) => failed !== undefined).map(({ raw }) => raw)
  }

  /**
   * Steps again through the events of keys on which a function has failed: those of the batch, or the ones given, which
   * are all events of these keys since the last flush.
   */
  redo(skipped: ReadonlySet<string>, given?: EventBatch): void {
    const batch = given === undefined ? this.#batch : openBatch(given)
    const again = new Map<Entry, number[]>()
    for (const entry of this.#touched) if (entry.failed !== undefined) again.set(entry, [])
    for (let at = 0; at < batch.count; at++) {
      const row = batch.order === undefined ? at : (batch.order[at] ?? 0)
      const entry = this.#entries.get(this.#idOf(batch, row))
      if (entry !== undefined) again.get(entry)?.push(row)
    }
    for (const [entry, rows] of again) this.#redoKey(entry, batch, rows, skipped)
    this.#progress.leave()
  }

  #redoKey(entry: Entry, batch: OpenBatch, rows: readonly number[], skipped: ReadonlySet<string>): void {
    const finishes = entry.failed === 'finish'
    let before = entry.text ?? this.#initText
    entry.positions.clear()
    for (const row of rows) {
      const at: Position = [batch.commits[row] ?? 0, batch.indexes[row] ?? 0]
      const [commit, index] = at
      if (skipped.has(`${commit}:${index}`)) continue
      try {
        this.#progress.enter(phases.step, commit, index)
        const event = this.#eventOf(batch.columns, row)
        const state = this.#functions.step(JSON.parse(before), event, { key: entry.key, commit, index })
        checkState(state)
        const after = stateText(state, this.#code.merges)
        if (finishes) this.#rowsOf(entry, after, at)
        before = after
        entry.positions.add(commit, index)
      } catch (error) {
        this.#failures.push(failureOf(error, at))
      }
    }
    entry.state = JSON.parse(before)
    entry.failed = undefined
  }

  /** Failures since the last call; they are known once `redo` has run. */
  takeFailures(): readonly FoldFailure[] {
    return this.#failures.splice(0)
  }

  /** Partial rows of what was touched since the last flush; nothing when `finish` fails, and then `failedKeys` says where. */
  flush(): Flushed | undefined {
    if (this.#touched.some(({ failed }) => failed !== undefined)) return undefined
    const lines: string[] = []
    let failed = false
    for (const entry of this.#touched) {
      const { positions } = entry
      // Every event of the key was left out: there is no partial row of it.
      if (positions.count === 0) continue
      const at: Position = [positions.lastCommit, positions.lastIndex]
      try {
        const text = stateText(entry.state, this.#code.merges)
        const rows = this.#rowsOf(entry, text, at, entry.state)
        lines.push(this.#lineOf(entry, text, rows))
      } catch {
        entry.failed = 'finish'
        failed = true
      }
    }
    this.#progress.leave()
    if (failed) return undefined
    return { lines: lines.join(''), rows: lines.length }
  }

  /** The rows that were flushed are durable: their states are what the next batch begins with. */
  commit(): void {
    for (const entry of this.#touched) {
      entry.touched = false
      if (entry.flushed !== undefined) {
        if (entry.text === undefined) this.#bytes += 3 * entry.flushed.length
        entry.text = entry.flushed
        entry.flushed = undefined
      }
      entry.positions.clear()
    }
    this.#touched = []
    this.#batch = noEvents
    this.#ofRow = []
    if (this.#code.merges) this.#forgetAll()
    else if (this.isFull) this.#evict()
  }

  /** What was flushed is not durable: the keys are asked for again. */
  abort(): void {
    // Those of the batch too: `begin` may have made them without a state.
    for (const entry of [...this.#touched, ...this.#ofRow]) this.#entries.delete(this.#idOfRaw(entry.raw))
    this.#touched = []
    this.#batch = noEvents
    this.#ofRow = []
    this.#missing = []
    this.#failures = []
    this.#complete = false
  }

  #idOf({ columns }: OpenBatch, row: number): unknown {
    const [column = 0, second] = this.#keyColumns
    if (second === undefined) return columns[column]?.[row]
    return JSON.stringify(this.#keyColumns.map((at) => columns[at]?.[row]))
  }

  #rawOf({ columns }: OpenBatch, row: number): readonly unknown[] {
    return this.#keyColumns.map((column) => {
      const text = columns[column]?.[row]
      return text === NULL_TEXT ? null : text
    })
  }

  #idOfRaw(raw: readonly unknown[]): unknown {
    if (raw.length === 1) return raw[0] ?? NULL_TEXT
    return JSON.stringify(raw.map((text) => text ?? NULL_TEXT))
  }

  #newEntry(id: unknown, raw: readonly unknown[]): Entry {
    const entry: Entry = {
      raw,
      key: this.#keyOf(raw),
      state: undefined,
      text: undefined,
      flushed: undefined,
      touched: false,
      failed: undefined,
      positions: new PositionSum(),
    }
    this.#entries.set(id, entry)
    this.#bytes += ENTRY_BYTES + 3 * this.#initText.length
    return entry
  }

  /** A state for a key without events. Always another object: `init` may give one that it keeps. */
  #fresh(): unknown {
    return JSON.parse(this.#initText)
  }

  #freshInit(): unknown {
    this.#progress.enter(phases.init, 0, 0)
    const state = this.#functions.init()
    checkState(state)
    this.#progress.leave()
    return state
  }

  #rowsOf(entry: Pick<Entry, 'key'>, text: string, [commit, index]: Position, state?: unknown): string {
    this.#progress.enter(phases.finish, commit, index)
    return this.#writeRows(this.#functions.finish(state ?? JSON.parse(text), entry.key))
  }

  #lineOf(entry: Entry, text: string, rows: string): string {
    const { raw, positions } = entry
    let keys = ''
    for (let index = 0; index < raw.length; index++) keys += `"k${index}":${JSON.stringify(raw[index])},`
    entry.flushed = text
    return `{${keys}${positions.json()},"state":${JSON.stringify(text)},"rows":${rows}}\n`
  }

  #forgetAll(): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  /** The oldest half goes; they are asked for again when events of them come. */
  #evict(): void {
    let left = this.#entries.size >> 1
    for (const id of this.#entries.keys()) {
      if (left-- <= 0) break
      this.#entries.delete(id)
    }
    this.#bytes >>= 1
    this.#complete = false
  }
}

const noEvents: OpenBatch = { count: 0, commits: [], indexes: [], columns: [], order: undefined }

function failureOf(error: unknown, [commit, index]: Position): FoldFailure {
  const what = error instanceof Error ? `${error.name}: ${userText(error.message)}` : `threw ${String(error)}`
  const { stack, at } = userStack(error)
  const message = at === undefined ? what : `${what} (${at})`
  return { commit, index, message, ...(stack === '' ? {} : { stack }), code: 'EVENT_STEP_FAILED' }
}

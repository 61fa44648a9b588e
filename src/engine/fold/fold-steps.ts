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

import type { FoldContext, FoldFunctions } from '../../define/fold.ts'
import { userStack, userText } from '../../define/logic-modules.ts'
import type { Field } from '../../model/schema.ts'
import type { CodeFold } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'
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

/** `[commit, index, value, …]` */
type Row = readonly [commit: number, index: number, ...values: unknown[]]

interface Entry {
  /** The key's values as they came, as JSON: they go back to DuckDB like that. */
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
  readonly #eventOf: (row: readonly unknown[]) => EventObject
  readonly #keyColumns: readonly number[]
  readonly #keyOf: (raw: readonly unknown[]) => unknown
  readonly #writeRows: (given: unknown) => string
  readonly #initText: string
  readonly #bytesMax: number
  readonly #entries = new Map<unknown, Entry>()
  #touched: Entry[] = []
  #batch: readonly Row[] = []
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
    this.#keyColumns = code.keys.map((name) => fields.findIndex((field) => field.name === name) + 2)
    this.#keyOf = keyReader(this.#keyColumns.map((column) => must(fields[column - 2], 'the key is read')))
    this.#writeRows = rowsWriter(code.row, code.several)
    this.#bytesMax = Math.floor(memoryBytes * CACHE_SHARE)
    this.#initText = stateText(this.#freshInit())
  }

  /** Takes the states of all keys that have one; none needs to be asked for then. */
  giveAll(states: readonly (readonly unknown[])[]): void {
    for (const row of states) {
      const raw = row.slice(0, -1)
      const id = this.#idOfRaw(raw)
      if (!this.#entries.has(id)) this.#take(this.#newEntry(id, [0, 0, ...this.#spread(raw)]), row)
    }
    this.#complete = true
  }

  /** Takes the rows of a batch, sorts them, and gives the keys whose states it needs. */
  begin(text: string): readonly (readonly unknown[])[] {
    const rows = JSON.parse(`[${text}]`) as Row[]
    if (!isSorted(rows)) rows.sort((a, b) => a[0] - b[0] || a[1] - b[1])
    this.#batch = rows
    this.#missing = []
    const wants = !this.#complete && !this.#code.merges
    for (const row of rows) {
      const id = this.#idOf(row)
      if (this.#entries.has(id)) continue
      const entry = this.#newEntry(id, row)
      if (wants) this.#missing.push(entry)
      else entry.state = this.#fresh()
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
    for (const row of this.#batch) {
      const entry = must(this.#entries.get(this.#idOf(row)), 'every key of the batch has its entry')
      if (!entry.touched) {
        entry.touched = true
        this.#touched.push(entry)
      }
      if (entry.failed !== undefined || (hasSkips && skipped.has(`${row[0]}:${row[1]}`))) continue
      progress.enter(phases.step, row[0], row[1])
      try {
        const state = step(entry.state, this.#eventOf(row), contextOf(entry.key, row))
        checkState(state)
        entry.state = state
        entry.positions.add(row[0], row[1])
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
  redo(skipped: ReadonlySet<string>, text?: string): void {
    const rows = text === undefined ? this.#batch : (JSON.parse(`[${text}]`) as Row[])
    if (text !== undefined) (rows as Row[]).sort((a, b) => a[0] - b[0] || a[1] - b[1])
    const again = new Map<Entry, Row[]>()
    for (const entry of this.#touched) if (entry.failed !== undefined) again.set(entry, [])
    for (const row of rows) {
      const entry = this.#entries.get(this.#idOf(row))
      if (entry !== undefined) again.get(entry)?.push(row)
    }
    for (const [entry, events] of again) this.#redoKey(entry, events, skipped)
    this.#progress.leave()
  }

  #redoKey(entry: Entry, events: readonly Row[], skipped: ReadonlySet<string>): void {
    const finishes = entry.failed === 'finish'
    let before = entry.text ?? this.#initText
    entry.positions.clear()
    for (const row of events) {
      if (skipped.has(`${row[0]}:${row[1]}`)) continue
      try {
        this.#progress.enter(phases.step, row[0], row[1])
        const context = contextOf(entry.key, row)
        const state = this.#functions.step(JSON.parse(before), this.#eventOf(row), context)
        checkState(state)
        const after = stateText(state)
        if (finishes) this.#rowsOf(entry, after, row)
        before = after
        entry.positions.add(row[0], row[1])
      } catch (error) {
        this.#failures.push(failureOf(error, row))
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
      const at: Row = [positions.lastCommit, positions.lastIndex]
      try {
        const text = stateText(entry.state)
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
    this.#batch = []
    if (this.#code.merges) this.#forgetAll()
    else if (this.isFull) this.#evict()
  }

  /** What was flushed is not durable: the keys are asked for again. */
  abort(): void {
    for (const entry of [...this.#touched, ...this.#missing]) this.#entries.delete(this.#idOfRaw(entry.raw))
    for (const row of this.#batch) {
      const entry = this.#entries.get(this.#idOf(row))
      if (entry !== undefined && entry.state === undefined) this.#entries.delete(this.#idOf(row))
    }
    this.#touched = []
    this.#batch = []
    this.#missing = []
    this.#failures = []
    this.#complete = false
  }

  #spread(rawKey: readonly unknown[]): unknown[] {
    const row: unknown[] = []
    this.#keyColumns.forEach((column, at) => {
      row[column - 2] = rawKey[at]
    })
    return row
  }

  #idOf(row: Row): unknown {
    const columns = this.#keyColumns
    if (columns.length === 1) return row[columns[0] ?? 0]
    return JSON.stringify(columns.map((column) => row[column]))
  }

  #idOfRaw(raw: readonly unknown[]): unknown {
    return raw.length === 1 ? raw[0] : JSON.stringify(raw)
  }

  #newEntry(id: unknown, row: Row): Entry {
    const raw = this.#keyColumns.map((column) => row[column])
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

  #rowsOf(entry: Pick<Entry, 'key'>, text: string, [commit, index]: Row, state?: unknown): string {
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

function contextOf(key: unknown, [commit, index]: Row): FoldContext {
  return { key, commit, index }
}

function isSorted(rows: readonly Row[]): boolean {
  let [commit, index] = [-1, -1]
  for (const row of rows) {
    if (row[0] < commit || (row[0] === commit && row[1] <= index)) return false
    commit = row[0]
    index = row[1]
  }
  return true
}

function failureOf(error: unknown, [commit, index]: Row): FoldFailure {
  const what = error instanceof Error ? `${error.name}: ${userText(error.message)}` : `threw ${String(error)}`
  const { stack, at } = userStack(error)
  const message = at === undefined ? what : `${what} (${at})`
  return { commit, index, message, ...(stack === '' ? {} : { stack }), code: 'EVENT_STEP_FAILED' }
}

/**
 * Folds in TypeScript in the live engine: for each version a thread that keeps states at hand. State: these, and how
 * far each has been told of states that slices and tail hold.
 *
 * A tick has the thread write partial rows of its events into a file, before the transaction that appends them begins;
 * when that fails the thread lets go of what it touched and asks again. So memory never says more than tables do.
 */

import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { CodePlace } from '../../define/logic-modules.ts'
import { quoteIdentifier, type StreamDef } from '../../model/schema.ts'
import type { GroupStage } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'
import { queryRows } from '../duckdb.ts'
import type { EngineView } from '../engine.ts'
import { type LiveView, viewKey } from '../live-view.ts'
import { ALL_GROUPS, mergedRelation, type Restriction, soleStage } from '../merged-relation.ts'
import type { ReadSet } from '../read-set.ts'
import { CodeFolder, FoldAgain, type Key } from './code-folder.ts'
import { cuttingOf, readBatches } from './event-batch.ts'
import { fieldsOf } from './event-rows.ts'
import type { FoldFailure } from './fold-protocol.ts'
import { keyHashesSql, partialRowsSql, statesSql } from './partial-rows.ts'
import { startOf } from './start-of.ts'

/** Of an event in the hot log, roughly. */
const EVENT_BYTES = 150
/** States that are given to a thread ahead of their events, when there are no more of them. */
const GIVEN_MAX = 500_000

interface LiveFold {
  readonly folder: CodeFolder
  readonly stage: GroupStage
  readonly stream: StreamDef
  /** Whether the thread has heard of the states there are. */
  told: boolean
  /** Something was stepped that is neither committed nor aborted. */
  pending: boolean
}

/** What a tick's events became. */
export interface StagedFold {
  /** Partial rows, as "$events" of the stage. */
  readonly sql: string
  readonly failures: readonly FoldFailure[]
}

export class LiveFolds {
  readonly #place: CodePlace | undefined
  readonly #scratchDir: string
  readonly #folds = new Map<string, LiveFold>()

  constructor(place: CodePlace | undefined, scratchDir: string) {
    this.#place = place
    this.#scratchDir = scratchDir
  }

  /** Steps through the events of a relation; `commit` or `abort` follows. */
  async stage(
    connection: DuckDBConnection,
    view: LiveView,
    stream: StreamDef,
    events: string,
    through: number,
    bytes: number,
  ): Promise<StagedFold> {
    const fold = this.#foldOf(view.spec, stream)
    const { folder, stage } = fold
    const fields = fieldsOf(stream, stage.source.fields)
    const range = { from: view.readSet.cut, to: through }
    const read = (sql: string, expected: number) =>
      readBatches(connection, fields, sql, '0', cuttingOf(range, expected))
    const batches = (await read(events, bytes / EVENT_BYTES)).get(0)
    if (batches === undefined) return { sql: '', failures: [] }
    fold.pending = true
    const file = join(this.#scratchDir, `fold-${view.spec.version.slice(0, 16)}.ndjson`)
    for (;;) {
      try {
        await this.#tell(connection, fold, view.readSet)
        const lookup = (keys: readonly Key[]) => statesOf(connection, stage, view.readSet, keys)
        for (const batch of batches) await folder.step(batch, lookup)
        const count = await folder.flush(file, async (keys) => {
          return (await read(`SELECT * FROM (${events}) WHERE ${hasKeys(stage, keys)}`, 1)).get(0)?.[0]
        })
        const failures = folder.failures(view.readSet.cut, through)
        return { sql: count === 0 ? '' : partialRowsSql(stage, [file]), failures }
      } catch (error) {
        if (!(error instanceof FoldAgain)) throw error
        fold.told = false
      }
    }
  }

  async commit({ spec }: LiveView): Promise<void> {
    await this.#end(spec, (folder) => folder.commit())
  }

  async abort({ spec }: LiveView): Promise<void> {
    await this.#end(spec, (folder) => folder.abort())
  }

  async #end(spec: EngineView, end: (folder: CodeFolder) => Promise<void>): Promise<void> {
    const fold = this.#folds.get(viewKey(spec.view, spec.version))
    if (fold?.pending !== true) return
    fold.pending = false
    await end(fold.folder)
  }

  /** Lets go of versions that the engine no longer has. */
  keepOnly(versions: { has(key: string): boolean }): void {
    for (const [key, { folder }] of this.#folds) {
      if (versions.has(key)) continue
      this.#folds.delete(key)
      void folder.stop()
    }
  }

  #foldOf(spec: EngineView, stream: StreamDef): LiveFold {
    const key = viewKey(spec.view, spec.version)
    const known = this.#folds.get(key)
    // A thread makes events by the fields of the stream as it was when it began.
    if (known !== undefined && known.stream === stream) return known
    void known?.folder.stop()
    const stage = soleStage(spec.plan) as GroupStage
    const folder = new CodeFolder(startOf(spec, stream, this.#place))
    const made: LiveFold = { folder, stage, stream, told: false, pending: false }
    this.#folds.set(key, made)
    return made
  }

  /** Gives a new thread the states there are, if they are few enough, so that it need not ask for new keys. */
  async #tell(connection: DuckDBConnection, fold: LiveFold, readSet: ReadSet): Promise<void> {
    const { folder, stage } = fold
    if (fold.told || must(stage.code, 'the stage has code').merges) return
    const tail = readSet.generations.reduce((rows, generation) => rows + generation.rows, 0)
    const groups = (readSet.image?.groups ?? 0) + tail
    if (groups <= GIVEN_MAX) {
      const states = groups === 0 ? '' : await statesIn(connection, stage, readSet, ALL_GROUPS)
      await folder.giveAll(states)
    }
    fold.told = true
  }
}

/** The condition that an event is of one of these keys; another key with the same hash does no harm. */
function hasKeys(stage: GroupStage, keys: readonly Key[]): string {
  const names = must(stage.code, 'the stage has code').keys.map(quoteIdentifier)
  return `hash(${names.join(', ')}) IN (${keyHashesSql(stage, keys)})`
}

function statesOf(
  connection: DuckDBConnection,
  stage: GroupStage,
  readSet: ReadSet,
  keys: readonly Key[],
): Promise<string> {
  return statesIn(connection, stage, readSet, { kind: 'groups', sql: keyHashesSql(stage, keys) })
}

async function statesIn(
  connection: DuckDBConnection,
  stage: GroupStage,
  readSet: ReadSet,
  restriction: Restriction,
): Promise<string> {
  const [row] = await queryRows(connection, statesSql(stage, mergedRelation(readSet, restriction)))
  return String(row?.['rows'] ?? '')
}

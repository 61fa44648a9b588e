/** Sets up a bulk fold by functions in TypeScript: which pieces, how many threads, and the states it goes on from. No state. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CodePlace } from '../../define/logic-modules.ts'
import { overlaps, splitRange } from '../../lake/relation.ts'
import type { CommitRange } from '../../model/cut.ts'
import { quoteIdentifier, quoteLiteral, type StreamDef } from '../../model/schema.ts'
import type { GroupStage, ViewPlan } from '../../plan/plan.ts'
import { partColumns } from '../../plan/queries.ts'
import type { LogSources, SliceInfo } from '../engine.ts'
import type { HotFile } from '../hot-files.ts'
import { bulkFold, PIECE_EVENTS, piecesOf, type Stretch } from './bulk-fold.ts'
import type { FoldFailure } from './fold-protocol.ts'
import { startOf } from './start-of.ts'

/** Bytes of an event in the hot log, where nothing says how many there are. */
const EVENT_BYTES = 150

export interface CodeFoldRun {
  readonly context: {
    readonly connection: DuckDBConnection
    readonly tempDir: string
    readonly threads: number
    readonly code?: CodePlace
  }
  readonly stage: GroupStage
  readonly stream: StreamDef
  readonly range: CommitRange
  readonly stretches: readonly Stretch[]
  readonly events: (range: CommitRange) => string
  /** Told which share is done. */
  readonly report?: (share: number) => void
  readonly signal?: AbortSignal
}

/** A view as far as a fold needs it; `slices` say the states at the beginning of the range. */
export interface FoldedView {
  readonly view: string
  readonly plan: ViewPlan
  readonly slices: readonly SliceInfo[]
}

let tables = 0

/** Gives the table with the partial rows of the range, and the events on which the functions failed. */
export async function runCodeFold(
  view: FoldedView,
  { context, stage, stream, range, stretches, events, report, signal }: CodeFoldRun,
): Promise<{ readonly table: string; readonly failures: readonly FoldFailure[] }> {
  const pieces = piecesOf(range, stretches, PIECE_EVENTS)
  const total = stretches.reduce((sum, stretch) => sum + stretch.events, 0)
  const table = `"$folded_${tables++}"`
  const failures = await bulkFold({
    ...{ connection: context.connection, tempDir: context.tempDir, stage, stream, pieces, events, table },
    threads: total < PIECE_EVENTS ? 1 : context.threads,
    start: startOf(view, stream, context.code),
    before: partialsBefore(view.slices, stage, range),
    ...(report === undefined ? {} : { onPiece: (done: number) => report(done / pieces.length) }),
    ...(signal === undefined ? {} : { signal }),
  })
  return { table, failures }
}

function partialsBefore(
  slices: readonly SliceInfo[],
  stage: GroupStage,
  { from }: CommitRange,
): string | undefined {
  const files = slices.filter((slice) => slice.stage === stage.name && slice.to <= from && slice.rows > 0)
  if (files.length === 0) return undefined
  const columns = partColumns(stage, 'main').map(
    ({ name, type }) => `CAST(${quoteIdentifier(name)} AS ${type}) AS ${quoteIdentifier(name)}`,
  )
  return `SELECT ${columns.join(', ')} FROM read_parquet([${files.map(({ path }) => quoteLiteral(path)).join(', ')}])`
}

/** How the events of a stream lie in a range, roughly. */
export function stretchesOf(
  stream: string,
  range: CommitRange,
  { lake }: Pick<LogSources, 'lake'>,
  hot: readonly HotFile[],
): readonly Stretch[] {
  const cold = splitRange(range, lake).lake
  const files = lake.files.filter((file) => file.stream === stream && overlaps(file, cold))
  return [
    ...files.map(({ from, to, rows }) => ({ from, to, events: rows })),
    ...hot.map(({ from, to, bytes, events }) => ({
      ...{ from, to },
      events: events?.[stream] ?? Math.ceil(bytes / EVENT_BYTES),
    })),
  ]
}

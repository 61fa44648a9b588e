/** The events after the border of a past state, folded by functions in TypeScript. No state. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { CodePlace } from '../../define/logic-modules.ts'
import { overlaps } from '../../lake/relation.ts'
import { RefoldError } from '../../model/errors.ts'
import type { StreamDef } from '../../model/schema.ts'
import type { LogSources } from '../engine.ts'
import type { HotFile } from '../hot-files.ts'
import { soleStage } from '../merged-relation.ts'
import type { PastState } from '../past.ts'
import { rangeRead, type StateSources, stateEvents } from '../past-state-sql.ts'
import { runCodeFold, stretchesOf } from './run-code-fold.ts'

export interface PastFoldContext {
  readonly connection: DuckDBConnection
  readonly tempDir: string
  readonly threads: number
  readonly code?: CodePlace
  readonly signal: AbortSignal
}

export interface PastFoldSources extends StateSources {
  readonly log: LogSources
  readonly hot: readonly HotFile[]
}

/** SELECT of the partial rows of (border, cut] of a fold in TypeScript; undefined for any other state. */
export async function foldPastState(
  state: PastState,
  stream: StreamDef,
  sources: PastFoldSources,
  context: PastFoldContext,
): Promise<string | undefined> {
  const stage = soleStage(state.plan)
  const range = rangeRead(state)
  if (stage.kind !== 'group' || stage.code === undefined || range.from >= range.to) return undefined
  // Which events such a state takes is said from its border on.
  const isWhole = state.lateOnly !== undefined || state.onlyLate === true || state.alsoLate !== undefined
  const { table, failures } = await runCodeFold(
    { ...state, slices: state.before ?? state.slices },
    {
      ...{ context, stage, stream, range, signal: context.signal },
      stretches: isWhole ? [] : stretchesOf(stream.name, range, sources.log, sources.hot),
      events: ({ from, to }) => {
        const hotFiles = sources.hot.filter((file) => overlaps(file, { from, to })).map(({ path }) => path)
        const piece = isWhole ? state : { ...state, border: from, cut: to }
        return stateEvents(piece, stage, stream, { ...sources, hotFiles })
      },
    },
  )
  const [first] = failures
  if (first === undefined) return `SELECT * FROM ${table}`
  const { commit, index, message } = first
  throw new RefoldError(
    'LOGIC_FAILED',
    `view "${state.view}" fails on event ${index} of commit ${commit}: ${message}`,
  )
}

/**
 * The folds in TypeScript among a tick's views: their partial rows are made before the tick's transaction begins, and
 * what the functions failed on is told once it is durable. No state.
 */

import { must } from '../../std/assert.ts'
import type { EventPosition, StallInfo } from '../engine.ts'
import type { LiveView } from '../live-view.ts'
import { soleStage } from '../merged-relation.ts'
import type { FoldFailure } from './fold-protocol.ts'
import type { StagedFold } from './live-folds.ts'

/** A function failed on an event of a view that stops at such. */
export class CodeStalled extends Error {
  override readonly name = 'CodeStalled'
  readonly failure: FoldFailure

  constructor(failure: FoldFailure) {
    super(failure.message)
    this.failure = failure
  }
}

export function isCodeFold({ spec }: LiveView): boolean {
  const stage = soleStage(spec.plan)
  return stage.kind === 'group' && stage.code !== undefined
}

/** Makes the partial rows of these views; throws CodeStalled for one that stops at an event. */
export async function stageFolds(
  views: readonly LiveView[],
  stage: (view: LiveView) => Promise<StagedFold>,
): Promise<ReadonlyMap<LiveView, StagedFold>> {
  const staged = new Map<LiveView, StagedFold>()
  for (const view of views.filter(isCodeFold)) {
    const made = await stage(view)
    const [first] = made.failures
    if (first !== undefined && view.spec.onError === 'stall') throw new CodeStalled(first)
    staged.set(view, made)
  }
  return staged
}

/** Notes the events that were left out, so that the server records them before a slice leaves them out. */
export function noteSkips(
  view: LiveView,
  failures: readonly FoldFailure[],
  positions: readonly StallInfo['position'][],
): void {
  for (const failure of failures) {
    const position = positionOf(failure, positions)
    view.skipped.push({ commit: failure.commit, index: failure.index })
    view.unreportedSkips.push(stallOf(failure, position))
  }
}

export function stallOf(failure: FoldFailure, position: StallInfo['position']): StallInfo {
  const { message, stack, code } = failure
  return { position, message, ...(stack === undefined ? {} : { stack }), code }
}

export function positionOf(
  { commit, index }: EventPosition,
  positions: readonly StallInfo['position'][],
): StallInfo['position'] {
  const found = positions.find((one) => one.commit === commit && one.index === index)
  return must(found, 'the event that failed is in the range')
}

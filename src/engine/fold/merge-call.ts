/**
 * The `merge` of a fold as a function that SQL calls: the states of one key in the order of their ranges, and the key,
 * both as JSON text; gives the merged state and the rows that `finish` makes of it. Pure.
 */

import type { FoldSpec } from '../../define/fold.ts'
import type { MergedFold } from '../../define/function-def.ts'
import { keyReader, rowsWriter, stateText } from './fold-shape.ts'
import { checkState } from './state-value.ts'

export function mergeCall(
  { functions }: FoldSpec,
  { keys, row, several }: MergedFold,
): (states: string, key: string) => string {
  const { merge, finish } = functions
  if (merge === undefined) throw new Error('the fold has no `merge`')
  const keyOf = keyReader(keys)
  const write = rowsWriter(row, several)
  return (states, key) => {
    const [first = 'null', ...later] = JSON.parse(states) as string[]
    let state: unknown = JSON.parse(first)
    for (const next of later) {
      state = merge(state, JSON.parse(next))
      checkState(state)
    }
    const text = stateText(state, true)
    const rows = write(finish(state, keyOf(JSON.parse(key) as unknown[])))
    return `{"state":${JSON.stringify(text)},"rows":${rows}}`
  }
}

/** What comparisons of batches came to, as people see it. No state. */

import { readBatch } from '../../catalog/batches.ts'
import { comparedBatches, divergenceOf, divergentRows } from '../../catalog/divergence.ts'
import { RefoldError } from '../../model/errors.ts'
import type { DivergenceInfo } from '../../serve/core-divergence.ts'
import { nearestName } from '../../std/nearest-name.ts'
import type { ServerContext } from '../context.ts'

export function divergenceInfos(
  context: ServerContext,
  view: string,
  limit: number,
): readonly DivergenceInfo[] {
  const { catalog } = context
  const serving = context.serving()
  if (serving[view] === undefined) {
    const near = nearestName(view, Object.keys(serving))
    throw new RefoldError('VIEW_UNKNOWN', `there is no view "${view}"`, {
      ...(near === undefined ? {} : { hint: `Did you mean "${near}"?` }),
    })
  }
  return comparedBatches(catalog, view, limit).flatMap((id): readonly DivergenceInfo[] => {
    const row = readBatch(catalog, id)
    const divergence = divergenceOf(catalog, id)
    if (row === undefined || divergence === undefined) return []
    const { version, cut, endedMs, startedMs } = row
    const at = new Date(endedMs ?? startedMs).toISOString()
    return [{ batch: id, view, version, cut, at, ...divergence, sample: divergentRows(catalog, id) }]
  })
}

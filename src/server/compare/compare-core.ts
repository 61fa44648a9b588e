/** What the HTTP surface asks about differences, led to the parts that answer it. No state. */

import type { CoreCompare } from '../../serve/core-compare.ts'
import type { CoreParts } from '../core-parts.ts'
import { compareVersions } from './compare-versions.ts'
import { withFirstEvents } from './first-difference.ts'
import { rowEvents } from './row-events.ts'
import { comparableCut, versionPair } from './version-pair.ts'
import { whyDifferent } from './why-different.ts'

export function createCompareCore({ context, project }: Pick<CoreParts, 'context' | 'project'>): CoreCompare {
  return {
    versions: async (request) => {
      const { view, folded, sampleRows, signal } = request
      const { from, to } = versionPair(context, view, request)
      const cut = comparableCut(context, view, [from, to], request.cut)
      const expect = project().views.find(({ name }) => name === view)?.expect ?? []
      const summary = await compareVersions(context, {
        ...{ view, from, to, cut, expect, folded, sampleRows },
        ...(signal === undefined ? {} : { signal }),
      })
      return await withFirstEvents(context, summary, request.firstEvents ?? 0, signal)
    },
    rowEvents: (request) => rowEvents(context, request),
    why: (request) => whyDifferent(context, request),
  }
}

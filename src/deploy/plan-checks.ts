/** Which checks a project has that the deployed one has not, or has otherwise; where they stand is no change. Pure. */

import type { CheckDef } from '../define/types.ts'
import { arranged } from './same-data.ts'
import type { CheckChange } from './types.ts'

export function checkChanges(
  before: readonly CheckDef[],
  after: readonly CheckDef[],
): readonly CheckChange[] {
  const changed = after.flatMap((check): CheckChange[] => {
    const old = before.find(({ name }) => name === check.name)
    if (old === undefined) return [{ check: check.name, change: 'new' }]
    return meaning(old) === meaning(check) ? [] : [{ check: check.name, change: 'changed' }]
  })
  const removed = before
    .filter(({ name }) => !after.some((check) => check.name === name))
    .map(({ name }): CheckChange => ({ check: name, change: 'removed' }))
  return [...changed, ...removed]
}

/** A function's text is not known here: it runs as it stands in the file. */
function meaning({ place: _place, ...check }: CheckDef): string {
  const rule = 'sqlPlace' in check.rule ? { ...check.rule, sqlPlace: undefined } : check.rule
  return arranged({ ...check, rule })
}

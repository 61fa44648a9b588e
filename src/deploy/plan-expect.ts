/** Which rules about rows that may differ a view has that the deployed one has not, or has otherwise. Pure. */

import type { ExpectDef } from '../define/types.ts'
import type { Reason } from './types.ts'

/** Where a rule stands in its file is no change; its place among the others is, because the first that takes a row counts. */
export function expectReasons(
  before: readonly ExpectDef[] = [],
  after: readonly ExpectDef[] = [],
): readonly Reason[] {
  const named = (rules: readonly ExpectDef[], name: string) => rules.find((rule) => rule.name === name)
  const texts = [
    ...after.flatMap(({ name, when }) => {
      const old = named(before, name)
      if (old === undefined) return [`rule "${name}" is new: "${when}"`]
      return old.when === when ? [] : [`rule "${name}" changed from "${old.when}" to "${when}"`]
    }),
    ...before
      .filter(({ name }) => named(after, name) === undefined)
      .map(({ name }) => `rule "${name}" is gone`),
  ]
  const order = (rules: readonly ExpectDef[]) => JSON.stringify(rules.map(({ name }) => name))
  if (texts.length === 0 && order(before) !== order(after)) texts.push('the order of its rules changed')
  return texts.map((text) => ({ what: 'expect', text }))
}

/**
 * Turns the `expect` rules of a view into plain data, with the place of each condition. What a condition says is
 * checked later, when the view's columns are known. No state.
 */

import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import type { ExpectDef } from './types.ts'

export function resolveExpect(
  view: string,
  given: unknown,
  call: CallSite,
  refuse: Refuse,
): readonly ExpectDef[] {
  if (given === undefined) return []
  const hint = "Write expect: [{ name: 'prices in euro', when: 'new.total < old.total' }]."
  if (!Array.isArray(given)) {
    refuse('PROJECT_SETTING', `${view}: \`expect\` is not an array`, call.option(['expect']), hint)
    return []
  }
  const places = call.texts('expect', 'when')
  const names = new Set<string>()
  return (given as unknown[]).flatMap((entry, index) => {
    const place = places[index] ?? call.option(['expect'])
    const rule = entry as Partial<ExpectDef> | null | undefined
    const { name, when } = rule ?? {}
    if (typeof name !== 'string' || name.trim() === '' || typeof when !== 'string' || when.trim() === '') {
      refuse('PROJECT_SETTING', `${view}: rule ${index + 1} of \`expect\` lacks name or when`, place, hint)
      return []
    }
    if (names.has(name)) {
      const other = 'Give each rule its own name.'
      refuse('PROJECT_SETTING', `${view}: two rules of \`expect\` are named "${name}"`, place, other)
    }
    names.add(name)
    return [{ name, when, place }]
  })
}

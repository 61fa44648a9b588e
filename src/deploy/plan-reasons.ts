/**
 * Why a view's version differs from the one that answers: the parts that decided both, compared one by one. Every
 * difference of the parts gives at least one sentence, so a change is never shown without a reason. Pure.
 */

import type { IdentityField, IdentityParts, KeptIdentity } from '../define/identity.ts'
import type { JsonValue } from '../model/schema.ts'
import { batchReasons } from './plan-batch-reasons.ts'
import { functionReasons } from './plan-code-reasons.ts'
import { foldReasons } from './plan-fold-reasons.ts'
import { sqlChanges } from './plan-sql-change.ts'
import type { Reason } from './types.ts'

export interface DefinedView {
  readonly sql: string
  readonly onError: 'stall' | 'skip'
  /** Empty for a version of which no parts were kept. */
  readonly identity: Partial<KeptIdentity>
}

export interface WantedView extends DefinedView {
  /** File in which the SQL stands, relative to the project's folder. */
  readonly file: string
}

/** Why the rows may differ; for two views with different versions never empty. */
export function versionReasons(old: DefinedView, next: WantedView): readonly Reason[] {
  const reasons = [
    ...sqlReasons(old, next),
    ...readReasons(old.identity.reads ?? [], next.identity.reads ?? [], old.identity.reads !== undefined),
    ...formatReasons(old.identity, next.identity),
    ...lateReasons(old.identity, next.identity),
    ...batchReasons(old.identity.batch, next.identity.batch),
    ...functionReasons(old.identity.functions, next.identity.functions),
  ]
  if (reasons.length > 0) return reasons
  const text = 'an earlier release made the version and kept no record of what decided it'
  return [{ what: 'release', text }]
}

function lateReasons(
  { late: old }: Partial<KeptIdentity>,
  { late: next }: Partial<KeptIdentity>,
): readonly Reason[] {
  if (old === next) return []
  const text =
    next === 'hold'
      ? 'late events wait for the next batch'
      : 'late events no longer wait for a batch: they correct rows at once'
  return [{ what: 'late', text }]
}

/** What changes how a view is kept without changing its rows. */
export function settingReasons(old: DefinedView, next: DefinedView): readonly Reason[] {
  if (old.onError === next.onError) return []
  const text = `onError changed from "${old.onError}" to "${next.onError}"; the version stays`
  return [{ what: 'setting', text }]
}

function sqlReasons(old: DefinedView, next: WantedView): readonly Reason[] {
  const before = old.identity.sql ?? old.sql
  const after = old.identity.sql === undefined ? next.sql : (next.identity.sql ?? next.sql)
  if (before === after) return []
  const fold = foldReasons(old.identity, next.identity)
  if (fold !== undefined && fold.length > 0) return fold
  const written = sqlChanges(old.sql, next.sql)
  const texts = written.length > 0 ? written : sqlChanges(before, after)
  const reasons: readonly Reason[] =
    texts.length > 0
      ? texts.map((text) => ({ what: 'sql', text }))
      : [{ what: 'sql', text: 'the SQL changed' }]
  return [...reasons, ...sourceReasons(old.identity.sources, next)]
}

/** SQL that another file helped to build: which of them changed. */
function sourceReasons(
  old: Readonly<Record<string, string>> | undefined,
  { identity, file }: WantedView,
): readonly Reason[] {
  const next = identity.sources ?? {}
  if (old === undefined || Object.keys(old).length === 0 || Object.keys(next).length === 0) return []
  const changed = [...new Set([...Object.keys(old), ...Object.keys(next)])].filter(
    (name) => old[name] !== next[name],
  )
  if (changed.length === 0) {
    const text = 'no file that makes the view changed: its SQL is built from something outside them'
    return [{ what: 'source', text }]
  }
  return changed
    .filter((name) => name !== file)
    .map((name) => {
      const how = old[name] === undefined ? 'is new' : next[name] === undefined ? 'is gone' : 'changed'
      return { what: 'source', text: `"${name}", from which the view is made, ${how}` }
    })
}

function readReasons(
  old: IdentityParts['reads'],
  next: IdentityParts['reads'],
  known: boolean,
): readonly Reason[] {
  if (!known || JSON.stringify(old) === JSON.stringify(next)) return []
  const reasons: Reason[] = []
  const names = new Set([...old, ...next].map(({ name }) => name))
  for (const name of names) {
    const before = old.find((stream) => stream.name === name)
    const after = next.find((stream) => stream.name === name)
    if (before === undefined) reasons.push({ what: 'schema', text: `it now reads stream "${name}"` })
    else if (after === undefined)
      reasons.push({ what: 'schema', text: `it no longer reads stream "${name}"` })
    else if (JSON.stringify(before) !== JSON.stringify(after))
      reasons.push(...fieldReasons(name, before.fields, after.fields))
  }
  return reasons.length > 0 ? reasons : [{ what: 'schema', text: 'the order of its streams changed' }]
}

function fieldReasons(
  stream: string,
  old: readonly IdentityField[],
  next: readonly IdentityField[],
): readonly Reason[] {
  const texts: string[] = []
  const gone = new Set(old.map(([name]) => name))
  for (const [name, type, more] of next) {
    const field = `field "${name}" of stream "${stream}"`
    const same = old.find((candidate) => candidate[0] === name)
    const before = same ?? old.find((candidate) => formerNames(more).includes(candidate[0]))
    if (before === undefined) texts.push(`it now reads ${field}`)
    else {
      gone.delete(before[0])
      if (same === undefined) texts.push(`${field} was called "${before[0]}" before`)
      if (before[1] !== type) texts.push(`the type of ${field} changed from ${before[1]} to ${type}`)
      if (same !== undefined && JSON.stringify(before[2]) !== JSON.stringify(more))
        texts.push(...moreReasons(field, before[2], more))
    }
  }
  for (const name of gone) texts.push(`it no longer reads field "${name}" of stream "${stream}"`)
  if (texts.length === 0) texts.push(`the order of the fields of stream "${stream}" changed`)
  return texts.map((text) => ({ what: 'schema', text }))
}

function formerNames(more: JsonValue): readonly JsonValue[] {
  const { aliases } = more as Readonly<Record<string, JsonValue | undefined>>
  return Array.isArray(aliases) ? aliases : []
}

function moreReasons(field: string, before: JsonValue, after: JsonValue): readonly string[] {
  const old = before as Readonly<Record<string, JsonValue>>
  const next = after as Readonly<Record<string, JsonValue>>
  const texts: string[] = []
  const differs = (key: string) => JSON.stringify(old[key]) !== JSON.stringify(next[key])
  if (differs('value'))
    texts.push(`the default of ${field} changed from ${shown(old['value'])} to ${shown(next['value'])}`)
  if (differs('aliases'))
    texts.push(
      `the former names of ${field} changed from ${names(old['aliases'])} to ${names(next['aliases'])}`,
    )
  if (differs('inner')) texts.push(`a default or a former name within ${field} changed`)
  return texts
}

function formatReasons(old: Partial<KeptIdentity>, next: Partial<KeptIdentity>): readonly Reason[] {
  if (old.format === undefined || old.format === next.format) return []
  return [{ what: 'release', text: 'this release of Refold gives the same words other rows' }]
}

function shown(value: JsonValue | undefined): string {
  return value === undefined ? 'none' : JSON.stringify(value)
}

function names(value: JsonValue | undefined): string {
  return Array.isArray(value) ? value.map((name) => `"${String(name)}"`).join(', ') : 'none'
}

/** What differs between the batch definitions of two versions of a view, in sentences. Pure. */

import type { IdentityBatch } from '../define/identity.ts'
import { sqlChanges } from './plan-sql-change.ts'
import type { Reason } from './types.ts'

export function batchReasons(
  old: IdentityBatch | undefined,
  next: IdentityBatch | undefined,
): readonly Reason[] {
  if (JSON.stringify(old) === JSON.stringify(next)) return []
  if (old === undefined)
    return [{ what: 'sql', text: 'it has a definition of its own for the batch layer now' }]
  if (next === undefined) return [{ what: 'sql', text: 'one definition stands for both layers now' }]
  const reasons: Reason[] = sqlReasons(old, next)
  if (JSON.stringify(old.key) !== JSON.stringify(next.key)) {
    const text = `the key by which both layers meet changed from ${list(old.key)} to ${list(next.key)}`
    reasons.push({ what: 'sql', text })
  }
  for (const column of new Set([...Object.keys(old.merge), ...Object.keys(next.merge)])) {
    const [before, after] = [ruleText(old.merge[column]), ruleText(next.merge[column])]
    if (before === after) continue
    reasons.push({
      what: 'sql',
      text: `the merge rule of column "${column}" changed from ${before} to ${after}`,
    })
  }
  if (JSON.stringify(old.approximate) !== JSON.stringify(next.approximate)) {
    const text = `the approximate columns changed from ${list(old.approximate)} to ${list(next.approximate)}`
    reasons.push({ what: 'sql', text })
  }
  for (const path of new Set([...Object.keys(old.files), ...Object.keys(next.files)])) {
    if (old.files[path] === next.files[path]) continue
    const how =
      old.files[path] === undefined
        ? 'is read now'
        : next.files[path] === undefined
          ? 'is no longer read'
          : 'changed'
    reasons.push({ what: 'source', text: `the reference file "${path}" ${how}` })
  }
  return reasons.length > 0 ? reasons : [{ what: 'sql', text: 'the order of the merge rules changed' }]
}

function sqlReasons(old: IdentityBatch, next: IdentityBatch): Reason[] {
  if (old.sql === next.sql) return []
  const texts = sqlChanges(old.sql, next.sql)
  if (texts.length === 0) return [{ what: 'sql', text: 'the batch SQL changed' }]
  return texts.map((text) => ({ what: 'sql', text: `batch SQL: ${text}` }))
}

function ruleText(rule: IdentityBatch['merge'][string] | undefined): string {
  if (rule === undefined) return 'none'
  return typeof rule === 'string' ? rule : `(${rule.sql})`
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `"${name}"`).join(', ')
}

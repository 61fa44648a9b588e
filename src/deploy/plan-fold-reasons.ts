/** Why a view whose logic is TypeScript is another version: what of its fold, and which of its files, changed. Pure. */

import type { KeptIdentity } from '../define/identity.ts'
import { type PrintedFold, printedParts } from '../plan/plan-fold.ts'
import type { Reason } from './types.ts'

/** Undefined where neither is a fold. */
export function foldReasons(
  old: Partial<KeptIdentity>,
  next: Partial<KeptIdentity>,
): readonly Reason[] | undefined {
  const before = printedParts(old.sql ?? '')
  const after = printedParts(next.sql ?? '')
  if (before === undefined && after === undefined) return undefined
  if (before === undefined) return [{ what: 'source', text: 'its logic is TypeScript now, and was SQL' }]
  if (after === undefined) return [{ what: 'sql', text: 'its logic is SQL now, and was TypeScript' }]
  return [...partReasons(before, after), ...fileReasons(before, after, old.sources, next.sources)]
}

function partReasons(old: PrintedFold, next: PrintedFold): readonly Reason[] {
  const names = ({ row }: PrintedFold) => row.map(({ name }) => name).join(', ')
  const texts: string[] = []
  if (old.stream !== next.stream)
    texts.push(`it folds stream "${next.stream}", before it was "${old.stream}"`)
  if (old.keys.join() !== next.keys.join()) {
    texts.push(`its key is (${next.keys.join(', ')}), before it was (${old.keys.join(', ')})`)
  }
  if (JSON.stringify(old.row) !== JSON.stringify(next.row)) {
    const same = names(old) === names(next)
    texts.push(same ? 'types of its columns changed' : `its columns are ${names(next)}, before ${names(old)}`)
  }
  if (old.several !== next.several) texts.push('`several` changed')
  if (old.merges !== next.merges)
    texts.push(next.merges ? 'it has a `merge` now' : 'it has no `merge` any more')
  return texts.map((text) => ({ what: 'source' as const, text }))
}

function fileReasons(
  old: PrintedFold,
  next: PrintedFold,
  before: Readonly<Record<string, string>> = {},
  after: Readonly<Record<string, string>> = {},
): readonly Reason[] {
  if (old.hash === next.hash && old.entry === next.entry) return []
  const files = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
  const changed = files.filter((file) => before[file] !== after[file])
  const texts = changed.map((file) => {
    if (before[file] === undefined) return `function source is new: ${file}`
    return after[file] === undefined ? `function source is gone: ${file}` : `function source changed: ${file}`
  })
  if (texts.length === 0) texts.push('a package that its code uses changed')
  return texts.map((text) => ({ what: 'source' as const, text }))
}

/** What differs between the code of two versions of a view, in sentences that name file, artefact and package. Pure. */

import type { CodeDef } from '../define/code.ts'
import type { IdentityFunction } from '../define/identity.ts'
import type { Reason } from './types.ts'

export function functionReasons(
  old: readonly IdentityFunction[] = [],
  next: readonly IdentityFunction[] = [],
): readonly Reason[] {
  const names = new Set([...old, ...next].map(({ name }) => name))
  return [...names].flatMap((name) => {
    const before = old.find((one) => one.name === name)
    const after = next.find((one) => one.name === name)
    if (before?.hash === after?.hash) return []
    if (before === undefined) return [source(`it now calls function "${name}"`)]
    if (after === undefined) return [source(`it no longer calls function "${name}"`)]
    return changedReasons(before, after)
  })
}

function changedReasons(old: IdentityFunction, next: IdentityFunction): readonly Reason[] {
  const what = `function "${next.name}"`
  const reasons: Reason[] = []
  if (old.signature !== next.signature) {
    reasons.push(source(`${what} was ${old.signature} and is ${next.signature} now`))
  }
  if (old.nulls !== next.nulls) {
    reasons.push(source(`nulls of ${what} changed from "${old.nulls}" to "${next.nulls}"`))
  }
  reasons.push(...codeReasons(what, old.code, next.code))
  return reasons.length > 0 ? reasons : [source(`${what} changed`)]
}

/** `what` names the logic, e.g. `function "score"`. */
export function codeReasons(
  what: string,
  old: Omit<CodeDef, 'hash'>,
  next: Omit<CodeDef, 'hash'>,
): readonly Reason[] {
  return [
    ...artefactTexts(what, old.artefacts, next.artefacts),
    ...fileTexts(what, old, next),
    ...packageTexts(what, old.packages, next.packages),
  ].map(source)
}

function source(text: string): Reason {
  return { what: 'source', text }
}

function artefactTexts(
  what: string,
  old: CodeDef['artefacts'],
  next: CodeDef['artefacts'],
): readonly string[] {
  return [...new Set([...Object.keys(old), ...Object.keys(next)])].flatMap((name) => {
    const [before, after] = [old[name], next[name]]
    const artefact = `artefact "${name}" of ${what}`
    if (before === undefined) return [`${artefact} is new: "${after?.path}"`]
    if (after === undefined) return [`${artefact} is gone`]
    if (before.hash !== after.hash) return [`${artefact} changed: "${after.path}"`]
    if (before.path !== after.path) return [`${artefact} moved from "${before.path}" to "${after.path}"`]
    return before.format === after.format ? [] : [`${artefact} is ${after.format} now`]
  })
}

function fileTexts(what: string, old: Omit<CodeDef, 'hash'>, next: Omit<CodeDef, 'hash'>): readonly string[] {
  const texts = [...new Set([...Object.keys(old.files), ...Object.keys(next.files)])].flatMap((file) => {
    const [before, after] = [old.files[file], next.files[file]]
    if (before === after) return []
    const how = before === undefined ? 'is new' : after === undefined ? 'is gone' : 'changed'
    return [`"${file}", of which ${what} is made, ${how}${isProjectFile(file) ? WHOLE : ''}`]
  })
  return old.entry === next.entry || texts.length > 0
    ? texts
    : [`${what} is made in "${next.entry}" now, not in "${old.entry}"`]
}

const WHOLE = '; any edit of that file does this: give the logic a file of its own'

function isProjectFile(file: string): boolean {
  return /(^|\/)refold\.config\.m?[jt]s$/.test(file)
}

function packageTexts(what: string, old: CodeDef['packages'], next: CodeDef['packages']): readonly string[] {
  return [...new Set([...Object.keys(old), ...Object.keys(next)])].flatMap((name) => {
    if (old[name] === next[name]) return []
    if (old[name] === undefined) return [`${what} now imports package ${name}@${next[name]}`]
    if (next[name] === undefined) return [`${what} no longer imports package "${name}"`]
    return [`package "${name}", which ${what} imports, changed from ${old[name]} to ${next[name]}`]
  })
}

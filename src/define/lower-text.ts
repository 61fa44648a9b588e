/** Lowers Zod's string types, enums and literals. Used by `lower.ts`; no state. */

import type { FieldType, StringType } from '../model/schema.ts'
import { canonicalInteger } from '../model/value-number.ts'
import { type CheckDef, checksOf, type Def, isCode, type Report } from './zod-def.ts'

export function lowerText(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  const checks = checksOf(def)
  const formatted = checks.find(
    ({ format }) => format === 'datetime' || format === 'date' || format === 'uuid',
  )
  if (formatted === undefined) return lowerString(def, checks, path, report)
  if (checks.length > 1) {
    const what = names[String(formatted['format'])]
    report(path, `${what} takes no further checks`, 'Check it in the view’s SQL, or use z.string().')
  }
  if (formatted['format'] === 'datetime') return lowerTimestamp(formatted, path, report)
  if (formatted['format'] === 'date') return { kind: 'date' }
  const version = /^v(\d)$/.exec(String(formatted['version'] ?? ''))?.[1]
  return { kind: 'uuid', ...(version === undefined ? {} : { version: Number(version) }) }
}

const names: Readonly<Record<string, string>> = {
  datetime: 'z.iso.datetime()',
  date: 'z.iso.date()',
  uuid: 'z.uuid()',
}

function lowerTimestamp(check: CheckDef, path: readonly string[], report: Report): FieldType {
  if (check['local'] === true) {
    report(
      path,
      'a local time without an offset is no point in time',
      'Use z.iso.datetime() or z.iso.datetime({ offset: true }).',
    )
  }
  if (check['precision'] !== null && check['precision'] !== undefined) {
    report(
      path,
      'the precision of a timestamp cannot be fixed',
      'Leave it out: microseconds are kept, zeros at the end are not.',
    )
  }
  return { kind: 'timestamp', ...(check['offset'] === true ? { offset: true as const } : {}) }
}

function lowerString(
  def: Def,
  checks: readonly CheckDef[],
  path: readonly string[],
  report: Report,
): FieldType | undefined {
  let minLength = 0
  let maxLength = Number.POSITIVE_INFINITY
  const patterns: string[] = []
  let url: StringType['url']
  if (def.type === 'template_literal')
    patterns.push((def as { pattern?: RegExp }).pattern?.source ?? templatePattern(def))
  for (const check of checks) {
    if (check.check === 'min_length') minLength = Math.max(minLength, Number(check['minimum']))
    else if (check.check === 'max_length') maxLength = Math.min(maxLength, Number(check['maximum']))
    else if (check.check === 'length_equals') minLength = maxLength = Number(check['length'])
    else if (check['format'] === 'url') url = lowerUrl(check, path, report)
    else if (check.check === 'string_format') {
      const pattern = patternOf(check, path, report)
      if (pattern !== undefined) patterns.push(pattern)
    } else if (check.check === 'overwrite') {
      report(
        path,
        'trim, toLowerCase and the like change the value',
        'Leave it out, and convert in the view’s SQL.',
      )
    } else if (isCode(check)) {
      report(
        path,
        'a refinement is code, which a schema of events cannot hold',
        'Use min, max, regex or enum.',
      )
    }
  }
  return {
    kind: 'string',
    ...(minLength > 0 ? { minLength } : {}),
    ...(maxLength < Number.POSITIVE_INFINITY ? { maxLength } : {}),
    ...(patterns.length > 0 ? { patterns } : {}),
    ...(url === undefined ? {} : { url }),
  }
}

/** Formats that Zod checks with code beside their pattern, or without one. */
const codeFormats = new Set(['base64', 'base64url', 'jwt', 'credit_card', 'iban', 'json_string'])

function patternOf(check: CheckDef, path: readonly string[], report: Report): string | undefined {
  const { pattern, format } = check
  if (!(pattern instanceof RegExp) || codeFormats.has(String(format))) {
    report(
      path,
      `the format "${format}" is checked by code, which a schema of events cannot hold`,
      'Use z.string().regex(…), or z.string().',
    )
    return undefined
  }
  return sourceOf(pattern, path, report)
}

function sourceOf(pattern: RegExp, path: readonly string[], report: Report): string {
  const flags = pattern.flags.replace(/[ud]/g, '')
  if (flags !== '') {
    report(
      path,
      `the regular expression has the flag "${flags}", which JSON Schema cannot say`,
      'Write it without flags, such as [Aa] for a in either case.',
    )
  }
  return pattern.source
}

function lowerUrl(check: CheckDef, path: readonly string[], report: Report): NonNullable<StringType['url']> {
  if (check['normalize'] === true) {
    report(path, 'z.url({ normalize: true }) changes the value', 'Leave normalize out.')
  }
  const { protocol, hostname } = check
  return {
    ...(protocol instanceof RegExp ? { protocol: sourceOf(protocol, path, report) } : {}),
    ...(hostname instanceof RegExp ? { hostname: sourceOf(hostname, path, report) } : {}),
  }
}

/** Texts stand for themselves, types for their own pattern. */
function templatePattern(def: Def): string {
  const parts = (def['parts'] as unknown[]).map((part) => {
    const pattern = (part as { readonly _zod?: { readonly pattern?: RegExp } } | null)?._zod?.pattern
    return pattern === undefined ? escaped(String(part)) : pattern.source.replace(/^\^|\$$/g, '')
  })
  return `^${parts.join('')}$`
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => (char === '-' ? '\\x2d' : `\\${char}`))
}

export function lowerEnum(def: Def, path: readonly string[], report: Report): FieldType | undefined {
  const entries = def['entries'] as Readonly<Record<string, unknown>>
  // an enum of TypeScript also maps its numbers back to the names
  const names = Object.entries(entries).filter(([key]) => typeof entries[String(entries[key])] !== 'number')
  return lowerLiterals([...new Set(names.map(([, value]) => value))], path, report)
}

/** Literals of one kind: strings, or integers. */
export function lowerLiterals(
  values: readonly unknown[],
  path: readonly string[],
  report: Report,
): FieldType | undefined {
  if (values.length > 0 && values.every((value) => typeof value === 'string')) {
    return { kind: 'string', values: values as string[] }
  }
  if (values.length > 0 && values.every((value) => Number.isSafeInteger(value))) {
    const texts = values.map((value) => canonicalInteger(String(value)) as string)
    const small = (values as number[]).every((value) => Math.abs(value) < 2 ** 31)
    return { kind: 'integer', bits: small ? 32 : 64, values: texts }
  }
  report(
    path,
    'the literals are not all strings, or all integers',
    'Use strings, integers, or z.boolean() for true and false.',
  )
  return undefined
}

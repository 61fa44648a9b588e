/** The few things that lowering reads off a Zod 4 schema, without trusting that it is one. No state. */

/** Told each thing that cannot be lowered: path of field names, what it is, what to do instead. */
export type Report = (path: readonly string[], message: string, hint: string) => void

/** The plain data behind a schema. */
export interface Def {
  readonly type: string
  readonly [property: string]: unknown
}

export interface CheckDef {
  readonly check: string
  readonly [property: string]: unknown
}

export function defOf(schema: unknown): Def | undefined {
  const def = (schema as { readonly _zod?: { readonly def?: unknown } } | null | undefined)?._zod?.def
  return isRecord(def) && typeof def['type'] === 'string' ? (def as Def) : undefined
}

/** The checks of a schema, its own among them where the schema itself is one (z.int(), z.email()). */
export function checksOf(def: Def): readonly CheckDef[] {
  const own = typeof def['check'] === 'string' ? [def as unknown as CheckDef] : []
  const added = Array.isArray(def['checks']) ? (def['checks'] as unknown[]) : []
  return [...own, ...added.map(checkDefOf).filter((check) => !harmless.has(check.check))]
}

/** Whether a check is code of the user or of Zod, which data cannot say. */
export function isCode(check: CheckDef): boolean {
  return !declarative.has(check.check)
}

function checkDefOf(check: unknown): CheckDef {
  const def = (check as { readonly _zod?: { readonly def?: unknown } } | null)?._zod?.def
  return isRecord(def) && typeof def['check'] === 'string'
    ? (def as unknown as CheckDef)
    : { check: 'custom' }
}

const harmless = new Set(['describe', 'meta'])

const declarative = new Set([
  ...['min_length', 'max_length', 'length_equals', 'string_format'],
  ...['less_than', 'greater_than', 'multiple_of', 'number_format'],
])

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

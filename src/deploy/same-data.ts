/** Whether two values of plain JSON say the same, whatever the order of their members. Pure. */

export function isSameData(a: unknown, b: unknown): boolean {
  return arranged(a) === arranged(b)
}

/** As text, members in the order of their names. */
export function arranged(data: unknown): string {
  return JSON.stringify(data, (_, value: unknown) => {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value
  })
}

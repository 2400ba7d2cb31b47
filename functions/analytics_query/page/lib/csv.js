// Tables as CSV files.

import { wall } from "./zone.js";

/** Quotes where needed, and keeps spreadsheets from taking sent text for a formula. */
function cell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text)) {
    text = `'${text}`;
  }
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv({ columns, rows }) {
  const lines = [columns.map((column) => column.name), ...rows];
  return lines.map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function download(blob, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Names a file after what it holds: "campaigns_2024-06-10_2024-06-16.csv". */
export function fileName(what, { from, to }, extension = "csv") {
  if (from === null || to === null) return `${what}_all-time.${extension}`;
  const day = (ms) => new Date(wall(ms)).toISOString().slice(0, 10);
  return `${what}_${day(Date.parse(from))}_${day(Date.parse(to) - 1)}.${extension}`;
}

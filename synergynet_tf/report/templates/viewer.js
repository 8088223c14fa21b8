// A page's scans in NiiVue, linked to its lesion table. Volumes come by addVolume, from the scripts beside the page.
"use strict";

const body = document.body, message = document.getElementById("message"), place = document.getElementById("place");
const scans = JSON.parse(document.getElementById("scans").textContent);
const rows = Array.from(document.querySelectorAll("#lesions tr[data-mm]"));
const chips = Array.from(document.querySelectorAll(".chips button"));
const controls = { opacity: document.getElementById("opacity"), width: document.getElementById("width"),
                   level: document.getElementById("level") };
const volumes = new Map();      // base64 by name, until a scan is shown for the first time
let viewer = null, current = -1, busy = Promise.resolve();

function addVolume(name, text) { volumes.set(name, text); }

function show(state, text) {
  body.dataset.state = state;
  message.textContent = text;
}

function fail(error) { show("error", "The viewer could not start (" + (error.message || error) + "). The pictures below were made with the report."); }

// Switches -------------------------------------------------------------------------------------------------------------------

function layerSwitch(name) {
  return Array.from(document.querySelectorAll("input[data-layer]")).find(box => box.dataset.layer === name);
}

function labelColours(layers) {      // of every combination of masks: bit 0 is the first one's; where several meet, their mean
  const table = { R: [], G: [], B: [], A: [], I: [] };
  const on = layers.map(layer => layerSwitch(layer.name).checked);
  const rgb = layers.map(layer => [1, 3, 5].map(at => parseInt(layer.colour.slice(at, at + 2), 16)));
  for (let value = 0; value < 1 << layers.length; value++) {
    const met = rgb.filter((_, bit) => value >> bit & 1 && on[bit]);
    ["R", "G", "B"].forEach((channel, i) => table[channel].push(met.reduce((sum, colour) => sum + colour[i], 0) / (met.length || 1)));
    table.A.push(met.length ? 255 : 0);
    table.I.push(value);
  }
  return table;
}

function applyDisplay() {
  const [image, ...masks] = viewer.volumes;
  const width = image.range * controls.width.value / 100, middle = image.low + image.range * controls.level.value / 100;
  image.cal_min = middle - width / 2;
  image.cal_max = middle + width / 2;
  masks.forEach((mask, index) => {
    mask.setColormapLabel(labelColours(scans[current].masks[index].layers));
    mask.opacity = controls.opacity.value / 100;
  });
  viewer.updateGLVolume();
  viewer.updateInterpolation(1);              // a mask's voxels stay voxels
  viewer.updateInterpolation(0, true);        // the image is smooth
  viewer.drawScene();
}

// Scans ----------------------------------------------------------------------------------------------------------------------

async function loadVolume(name, colormap) {
  const text = volumes.get(name);
  if (text === undefined) throw new Error("its file in the folder volumes is missing");
  const volume = await niivue.NVImage.loadFromBase64({ base64: text, name: name + ".nii.gz", colormap });
  volumes.delete(name);
  return volume;
}

async function loadScan(scan) {
  const image = await loadVolume(scan.volume, "gray");
  image.low = image.global_min;
  image.range = image.global_max - image.global_min;
  const masks = [];
  for (const group of scan.masks) masks.push(await loadVolume(group.volume, "gray"));
  return [image, ...masks];
}

async function changeScan(index) {
  if (index === current) return;
  const scan = scans[index], mm = current < 0 ? null : crosshair();
  scan.loaded = scan.loaded || await loadScan(scan);
  current = index;
  viewer.volumes = scan.loaded;         // all at once: addVolume would draw after each
  [viewer.back, ...viewer.overlays] = scan.loaded;
  applyDisplay();
  if (mm) moveTo(mm);
  document.querySelectorAll("input[name=scan]").forEach(radio => { radio.checked = Number(radio.value) === index; });
  document.querySelectorAll("input[data-layer]").forEach(box => {
    box.disabled = !scan.masks.some(group => group.layers.some(layer => layer.name === box.dataset.layer));
  });
}

function showScan(index) {      // one after the other, however fast the clicks come
  busy = busy.then(() => changeScan(index)).catch(fail);
  return busy;
}

// Crosshair ------------------------------------------------------------------------------------------------------------------

function crosshair() { return Array.from(viewer.frac2mm(viewer.scene.crosshairPos)).slice(0, 3); }

function moveTo(mm) {
  viewer.scene.crosshairPos = viewer.mm2frac(mm);
  viewer.drawScene();
  viewer.createOnLocationChange();
}

function showPlace() {
  const mm = crosshair();
  place.dataset.mm = mm.map(value => value.toFixed(2)).join(" ");
  const names = [["L", "R"], ["P", "A"], ["I", "S"]];
  place.textContent = mm.map((value, axis) => Math.abs(value).toFixed(1) + " " + names[axis][value < 0 ? 0 : 1]).join("  ") + " mm";
}

async function choose(row) {
  rows.forEach(other => {
    if (other === row) other.setAttribute("aria-current", "true");
    else other.removeAttribute("aria-current");
  });
  row.scrollIntoView({ block: "nearest" });
  if (!viewer) return;
  await showScan(Number(row.dataset.scan));
  moveTo(row.dataset.mm.split(" ").map(Number));
  body.dataset.lesion = row.dataset.mm;
}

// The table -------------------------------------------------------------------------------------------------------------------

function neighbour(row, step) {
  let next = row;
  do next = step > 0 ? next.nextElementSibling : next.previousElementSibling; while (next && next.hidden);
  return next;
}

function linkTable() {
  for (const row of rows) {
    row.addEventListener("click", () => choose(row));
    row.addEventListener("keydown", event => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], next = step && neighbour(row, step);
      if (!next) return;
      event.preventDefault();
      next.querySelector("button").focus();
      choose(next);
    });
  }
  for (const chip of chips) chip.addEventListener("click", () => {
    chips.forEach(other => other.setAttribute("aria-pressed", String(other === chip)));
    filterRows();
  });
  const by = document.getElementById("by");
  if (by) {
    by.value = by.options[0].value;
    by.addEventListener("change", () => seeBy(by));
  }
}

function filterRows() {
  const wanted = chips.find(chip => chip.getAttribute("aria-pressed") === "true").dataset.kind;
  for (const row of rows) row.hidden = Boolean(wanted) && row.dataset.kind !== wanted;
}

function seeBy(by) {        // count and colour the lines by another column, and show its layer in place of the others'
  const keys = new Map(chips.map(chip => [chip.dataset.kind, chip.querySelector(".key")]));
  for (const row of rows) {
    row.dataset.kind = row.cells[by.value].dataset.value;
    const key = row.dataset.kind && keys.get(row.dataset.kind);
    row.querySelector(".key").style.background = key ? key.style.background : "#c9d1d5";
  }
  for (const chip of chips.slice(1)) {
    chip.querySelector("b").textContent = rows.filter(row => row.dataset.kind === chip.dataset.kind).length;
  }
  for (const option of by.options) layerSwitch(option.textContent).checked = option.selected;
  filterRows();
  if (current >= 0) applyDisplay();
}

// Start -----------------------------------------------------------------------------------------------------------------------

async function open() {
  viewer = new niivue.Niivue({ backColor: [0, 0, 0, 1], crosshairColor: [1, 1, 1, 0.75], crosshairWidth: 0.6, crosshairGap: 6,
    isNearestInterpolation: true, multiplanarShowRender: 0, multiplanarPadPixels: 6, dragAndDropEnabled: false, loadingText: "",
    scrollRequiresFocus: true, logLevel: "error", fontColor: [0.75, 0.78, 0.8, 1], onLocationChange: showPlace });
  await viewer.attachToCanvas(document.getElementById("canvas"));
  viewer.setSliceType(viewer.sliceTypeMultiplanar);
  await changeScan(scans.length - 1);
  for (const input of document.querySelectorAll(".controls input")) input.addEventListener("input", applyDisplay);
  document.getElementById("reset").addEventListener("click", () => {
    document.querySelectorAll(".sliders input").forEach(input => { input.value = input.defaultValue; });
    applyDisplay();
  });
  for (const radio of document.querySelectorAll("input[name=scan]")) {
    radio.addEventListener("change", () => showScan(Number(radio.value)));
  }
  show("ready", "");
  const asked = rows[Number(location.hash.slice(1)) - 1] || rows[0];      // case.html#3 opens at the third line
  if (asked) await choose(asked);
  showPlace();
}

function start() {
  linkTable();
  if (!document.createElement("canvas").getContext("webgl2")) {
    show("static", "This browser has no WebGL 2, which the viewer needs. The pictures below were made with the report.");
    return;
  }
  open().catch(fail);
}

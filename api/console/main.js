const shown = document.getElementById("engine");
try {
  const answer = await fetch("/console/engine");
  shown.textContent = JSON.stringify(await answer.json(), null, 2);
} catch (error) {
  shown.textContent = String(error);
}

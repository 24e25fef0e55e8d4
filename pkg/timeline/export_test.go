package timeline

// Known says whether there is a text of an event type, and Count of how many.
func Known(eventType string) bool { _, ok := texts[eventType]; return ok }
func Count() int                  { return len(texts) }

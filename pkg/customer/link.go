package customer

import (
	"slices"
	"time"

	"defter/pkg/fault"
)

// linkPrecision is how exactly the time of a link is known: what arrives a little out of order says nothing new of it.
const linkPrecision = time.Second

func linkVisitor(s State, c LinkVisitor) []any {
	c.At = c.At.Truncate(linkPrecision)
	if c.VisitorID == "" || !c.Asked && slices.Contains(s.Unlinked, c.VisitorID) || !s.saysMore(c) {
		return nil
	}
	return []any{VisitorLinked{c.VisitorID, &c.At, c.Public}}
}

// saysMore says whether a link is new, or earlier than was known, or said by somebody whose word counts where nobody's did.
func (s State) saysMore(c LinkVisitor) bool {
	i := slices.IndexFunc(s.Visitors, func(l Link) bool { return l.ID == c.VisitorID })
	if i < 0 || s.Visitors[i].Public == c.Public {
		return earlier(s.Visitors, c.VisitorID, c.At)
	}
	return s.Visitors[i].Public
}

// earlier says whether a link is new, or was said to be earlier than is known.
func earlier(links []Link, id string, at time.Time) bool {
	i := slices.IndexFunc(links, func(l Link) bool { return l.ID == id })
	return i < 0 || at.UnixMilli() < links[i].At
}

func has(links []Link, id string) bool {
	return slices.ContainsFunc(links, func(l Link) bool { return l.ID == id })
}

// unlink is the event that says that an id is somebody else's. What cannot be remembered is refused: the id would be linked again by itself.
func (s State) unlink(id, reason string, event any) ([]any, error) {
	if len(s.Unlinked) >= MaxUnlinked && !slices.Contains(s.Unlinked, id) {
		return nil, fault.New(fault.Rejected, "too-many-unlinked", "%d ids are known to be somebody else: no more can be remembered", MaxUnlinked)
	}
	return []any{event}, checkTexts(text{"reason", reason, 200})
}

// linked are the links with one more: the latest, at most MaxVisitors that somebody vouches for and MaxPublicVisitors of anybody's saying.
func linked(links []Link, id string, said *time.Time, at time.Time, public bool) []Link {
	if said != nil {
		at = *said
	}
	link := Link{id, at.UnixMilli(), public}
	if i := slices.IndexFunc(links, func(l Link) bool { return l.ID == id }); i >= 0 {
		switch known := links[i]; {
		case known.Public == public:
			link.At = min(link.At, known.At)
		case public:
			link = known
		}
	}
	links = append(unlinked(links, id), link)
	limit, same := MaxVisitors, 0
	if link.Public {
		limit = MaxPublicVisitors
	}
	for _, l := range links {
		if l.Public == link.Public {
			same++
		}
	}
	if same > limit {
		oldest := slices.IndexFunc(links, func(l Link) bool { return l.Public == link.Public })
		links = slices.Delete(links, oldest, oldest+1)
	}
	return links
}

func unlinked(links []Link, id string) []Link {
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return l.ID == id })
}

func without(list []string, entry string) []string {
	if !slices.Contains(list, entry) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(e string) bool { return e == entry })
}
